-- Bans; the device a session was opened from; removed messages.
ALTER TABLE accounts ADD COLUMN banned_at INTEGER;
ALTER TABLE accounts ADD COLUMN ban_reason TEXT;
ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN removed_at INTEGER;

-- Second factors by time (RFC 6238). The secret is in clear: a restored installation must go on without the server's own.
CREATE TABLE second_factors (
  uid INTEGER PRIMARY KEY REFERENCES accounts (uid) ON DELETE CASCADE,
  secret TEXT NOT NULL,
  confirmed_at INTEGER,
  -- The newest time step that was accepted: a code works once.
  last_step INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE recovery_codes (
  uid INTEGER NOT NULL REFERENCES accounts (uid) ON DELETE CASCADE,
  code_hash TEXT NOT NULL,
  PRIMARY KEY (uid, code_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
  uid INTEGER NOT NULL REFERENCES accounts (uid) ON DELETE CASCADE,
  blocked_uid INTEGER NOT NULL REFERENCES accounts (uid) ON DELETE CASCADE,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (uid, blocked_uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_blocked ON blocks (blocked_uid);

CREATE TABLE invitations (
  id INTEGER PRIMARY KEY,
  code_hash TEXT NOT NULL UNIQUE,
  uses_left INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

-- What happened, for whoever runs the server. Nothing in it is ever changed or taken out.
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  -- Whom it is about; no reference, because it outlives the account.
  uid INTEGER,
  -- Who did it: 'self', 'admin', 'command', 'server'.
  actor TEXT NOT NULL,
  address TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX audit_account ON audit (uid, id) WHERE uid IS NOT NULL;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
