CREATE TABLE accounts (
  uid INTEGER PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  first_key TEXT NOT NULL,
  last_key TEXT NOT NULL,
  email TEXT NOT NULL,
  email_key TEXT NOT NULL UNIQUE,
  phone TEXT NOT NULL,
  dob TEXT,
  picture TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  verified_at INTEGER,
  expires_at INTEGER
) STRICT;
CREATE INDEX accounts_expiry ON accounts (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uid INTEGER NOT NULL REFERENCES accounts (uid) ON DELETE CASCADE,
  cookie_hash TEXT NOT NULL UNIQUE,
  token_hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_owner ON sessions (uid);

CREATE TABLE codes (
  id INTEGER PRIMARY KEY,
  uid INTEGER NOT NULL REFERENCES accounts (uid) ON DELETE CASCADE,
  purpose TEXT NOT NULL,
  target TEXT NOT NULL,
  code_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  wrong_tries INTEGER NOT NULL DEFAULT 0,
  used_at INTEGER
) STRICT;
CREATE INDEX codes_owner ON codes (uid, purpose, created_at);
CREATE INDEX codes_target ON codes (target, purpose);

CREATE TABLE chats (
  id INTEGER PRIMARY KEY,
  group_id TEXT UNIQUE,
  low_uid INTEGER,
  high_uid INTEGER,
  name TEXT NOT NULL,
  picture TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  last_seq INTEGER NOT NULL DEFAULT 0,
  last_message_at INTEGER,
  UNIQUE (low_uid, high_uid),
  CHECK ((group_id IS NULL) = (low_uid IS NOT NULL AND high_uid IS NOT NULL))
) STRICT;

CREATE TABLE members (
  chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  uid INTEGER NOT NULL REFERENCES accounts (uid) ON DELETE CASCADE,
  role TEXT NOT NULL,
  joined_at INTEGER NOT NULL,
  read_seq INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (chat_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_account ON members (uid);

CREATE TABLE messages (
  chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  sender_uid INTEGER NOT NULL,
  body TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  PRIMARY KEY (chat_id, seq)
) STRICT, WITHOUT ROWID;
