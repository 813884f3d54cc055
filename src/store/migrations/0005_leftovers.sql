-- Accounts that are erased but for what the message log still has of them; a row goes once that is gone too.
CREATE TABLE erasures (
  uid INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  messages TEXT NOT NULL
) STRICT;

-- When an invitation was used last: one that is used up is removed some time after.
ALTER TABLE invitations ADD COLUMN last_used_at INTEGER;
