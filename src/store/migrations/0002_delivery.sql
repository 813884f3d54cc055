ALTER TABLE messages ADD COLUMN client_message_id TEXT;
CREATE UNIQUE INDEX messages_sent ON messages (sender_uid, client_message_id) WHERE client_message_id IS NOT NULL;

CREATE TABLE installation (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch TEXT NOT NULL
) STRICT;
