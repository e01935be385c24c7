"""What runs in the user's interpreter: the decorator, `current_task` and the worker. Stdlib only, Python 3.9 on."""
