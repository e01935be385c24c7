-- A database of schema version 1, as its engine left it. Never edited: it stands for the files that are out there.
PRAGMA application_id = 1296257107;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE attempts (
        task INTEGER NOT NULL,
        number INTEGER NOT NULL,
        slot TEXT NOT NULL,
        node TEXT NOT NULL,
        devices TEXT,
        started_at REAL NOT NULL,
        ended_at REAL,
        reason TEXT,
        error TEXT DEFAULT '' NOT NULL,
        exit_code INTEGER,
        signal INTEGER,
        seconds REAL DEFAULT 0 NOT NULL,
        memory_peak INTEGER DEFAULT 0 NOT NULL,
        stdout_bytes INTEGER DEFAULT 0 NOT NULL,
        stderr_bytes INTEGER DEFAULT 0 NOT NULL,
        fingerprint TEXT DEFAULT '' NOT NULL,
        returned INTEGER DEFAULT 0 NOT NULL,
        PRIMARY KEY (task, number)
    ) WITHOUT ROWID, STRICT
    ;
INSERT INTO "attempts" VALUES(1,1,'train-22222223.1','local',NULL,1001.0,NULL,NULL,'',NULL,NULL,0.0,0,0,0,'',0);
INSERT INTO "attempts" VALUES(3,1,'count-22222224.1','local',NULL,1001.0,1002.0,NULL,'',NULL,NULL,0.5,0,0,0,'f00d',0);
INSERT INTO "attempts" VALUES(5,1,'report-22222225.1','local',NULL,1001.0,1003.0,'error','boom',1,NULL,0.0,0,0,0,'',0);
CREATE TABLE groups (
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        principal TEXT NOT NULL,
        size INTEGER NOT NULL,
        submitted_at REAL NOT NULL,
        PRIMARY KEY (id)
    ) STRICT
    ;
INSERT INTO "groups" VALUES('sweep-22222229','sweep','graph','agent',2,1000.0);
CREATE TABLE meta (
        name TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (name)
    ) STRICT
    ;
INSERT INTO "meta" VALUES('clean',1);
INSERT INTO "meta" VALUES('next_seq',6);
CREATE TABLE payloads (
        task INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (task)
    ) STRICT
    ;
INSERT INTO "payloads" VALUES(1,X'7B2266756E6374696F6E223A226D2E66227D');
INSERT INTO "payloads" VALUES(2,X'7B2266756E6374696F6E223A226D2E66227D');
INSERT INTO "payloads" VALUES(3,X'7B7D');
INSERT INTO "payloads" VALUES(5,X'7B7D');
CREATE TABLE remembered (
        door TEXT NOT NULL,
        request TEXT NOT NULL,
        verb TEXT NOT NULL,
        tasks TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (door, request)
    ) WITHOUT ROWID, STRICT
    ;
INSERT INTO "remembered" VALUES('door','1','submit','["train-22222223", "train-22222224"]',1000.0);
CREATE TABLE settings (
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name)
    ) STRICT
    ;
INSERT INTO "settings" VALUES('environment:env','{}');
CREATE TABLE task_tags (
        tag TEXT NOT NULL,
        task INTEGER NOT NULL,
        PRIMARY KEY (tag, task)
    ) WITHOUT ROWID, STRICT
    ;
INSERT INTO "task_tags" VALUES('gpu',2);
INSERT INTO "task_tags" VALUES('nightly',2);
CREATE TABLE tasks (
        seq INTEGER NOT NULL,
        id TEXT NOT NULL,
        terms INTEGER NOT NULL,
        principal TEXT NOT NULL,
        name TEXT NOT NULL,
        group_id TEXT DEFAULT '' NOT NULL,
        "key" TEXT DEFAULT '' NOT NULL,
        digest TEXT DEFAULT '' NOT NULL,
        submitted_at REAL NOT NULL,
        start_after REAL DEFAULT 0 NOT NULL,
        deadline REAL,
        "after" TEXT,
        tags TEXT,
        state TEXT NOT NULL,
        at REAL NOT NULL,
        number INTEGER DEFAULT 0 NOT NULL,
        failures INTEGER DEFAULT 0 NOT NULL,
        losses INTEGER DEFAULT 0 NOT NULL,
        crashes INTEGER DEFAULT 0 NOT NULL,
        due REAL DEFAULT 0 NOT NULL,
        held INTEGER DEFAULT 0 NOT NULL,
        cancel_requested INTEGER DEFAULT 0 NOT NULL,
        reason TEXT,
        error TEXT DEFAULT '' NOT NULL,
        priority INTEGER DEFAULT 0 NOT NULL,
        ended_at REAL,
        result_file TEXT DEFAULT '' NOT NULL,
        result_size INTEGER DEFAULT 0 NOT NULL,
        result BLOB,
        PRIMARY KEY (seq)
    ) STRICT
    ;
INSERT INTO "tasks" VALUES(1,'train-22222223',1,'agent','train','sweep-22222229','once','d1',1000.0,0.0,NULL,NULL,NULL,'running',1001.0,1,0,0,0,0.0,0,0,NULL,'',0,NULL,'',0,NULL);
INSERT INTO "tasks" VALUES(2,'train-22222224',2,'agent','train','sweep-22222229','','',1000.0,0.0,2000.0,'["train-22222223"]','["nightly", "gpu"]','pending',1000.0,0,0,0,0,0.0,0,0,NULL,'',0,NULL,'',0,NULL);
INSERT INTO "tasks" VALUES(3,'count-22222224',1,'agent','count','','','',1000.0,0.0,NULL,NULL,NULL,'succeeded',1002.0,1,0,0,0,0.0,0,0,NULL,'',0,1002.0,'',11,X'7B226C696E6573223A377D');
INSERT INTO "tasks" VALUES(5,'report-22222225',1,'agent','report','','','',1000.0,0.0,NULL,NULL,NULL,'failed',1003.0,1,1,0,0,0.0,0,0,'error','boom',0,1003.0,'',0,NULL);
CREATE TABLE terms (
        id INTEGER NOT NULL,
        digest BLOB NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    ) STRICT
    ;
INSERT INTO "terms" VALUES(1,X'435AA2D86B2CE458D72313A8D1A14CB2E48EE507D01ABB38A3FA04CB3A49E0F8','{"environment":"env","idempotent":false,"idle_timeout":null,"kind":"function","needs":{"amounts":[["cpus",1000]],"device":"","gpu_memory":0,"gpus":0},"principal":"agent","retry":{"delay":1.0,"factor":2.0,"jitter":1.0,"max_attempts":1,"max_delay":60.0,"on":["crashed","error","lost","timeout"]},"target":"m.f","timeout":null}');
INSERT INTO "terms" VALUES(2,X'DFBA86D6073ECAA5A0AAF6C9851266EE878F93997279ABC6513112E9969321AD','{"environment":"env","idempotent":true,"idle_timeout":null,"kind":"command","needs":{"amounts":[["cpus",2000]],"device":"a100","gpu_memory":1073741824,"gpus":2},"principal":"agent","retry":{"delay":1.0,"factor":2.0,"jitter":1.0,"max_attempts":1,"max_delay":60.0,"on":["crashed","error","lost","timeout"]},"target":"train.py","timeout":60.0}');
CREATE INDEX tasks_depending ON tasks (seq) WHERE ended_at IS NULL AND "after" IS NOT NULL;
CREATE INDEX tasks_finished ON tasks (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_group ON tasks (group_id) WHERE group_id != '';
CREATE UNIQUE INDEX tasks_id ON tasks (id);
CREATE UNIQUE INDEX tasks_key ON tasks (principal, "key") WHERE "key" != '';
CREATE INDEX tasks_result_file ON tasks (result_file) WHERE result_file != '';
CREATE INDEX tasks_unfinished ON tasks (seq) WHERE ended_at IS NULL;
CREATE INDEX attempts_open ON attempts (task, number) WHERE ended_at IS NULL;
CREATE INDEX remembered_at ON remembered (at);
COMMIT;
