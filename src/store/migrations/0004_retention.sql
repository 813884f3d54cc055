-- How long messages stay: a group's own rule, and where a log begins since older ones were removed.
ALTER TABLE chats ADD COLUMN retention_days INTEGER;
ALTER TABLE chats ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 1;
