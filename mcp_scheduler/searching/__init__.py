"""The child process that looks for a better order of tasks than a policy gives them."""
