-- Chats that nobody is in any more and whose messages are being removed.
CREATE TABLE abandoned_chats (
  chat_id INTEGER PRIMARY KEY REFERENCES chats (id) ON DELETE CASCADE
) STRICT;
