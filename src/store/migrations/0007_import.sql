-- What was taken over from databases of the old server, by its name there: so that nothing is taken twice, nor taken
-- again after it was removed here. 'account:7' is the account's number here, 'chat:G_5' a group's id here or 0 for a
-- direct chat, 'log:G_5' the last message number taken of that table, 'unread:G_5' the position from which a chat that
-- is being taken is new.
CREATE TABLE imported (
  origin TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
