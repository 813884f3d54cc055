// What one would pick instead: Socket.IO on Node with better-sqlite3, a commit per message, as durable as ours.
const { createServer } = require('node:http');
const { Server } = require('socket.io');
const Database = require('better-sqlite3');

const database = new Database(process.env.DATABASE);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec(
  'CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, room TEXT, sender TEXT, body TEXT, sent_at INTEGER)',
);
const insert = database.prepare('INSERT INTO messages (room, sender, body, sent_at) VALUES (?, ?, ?, ?)');

const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false });
io.on('connection', (socket) => {
  socket.join('room');
  socket.on('send', (body) => {
    const sentAt = Date.now();
    const { lastInsertRowid } = insert.run('room', socket.id, body, sentAt);
    const message = {
      SENDER_ID: 1234567890,
      SENDER_NAME: 'User 000001',
      MESSAGE_ID: Number(lastInsertRowid),
      GROUP_ID: '1000000000000',
      TIME_STAMP: new Date(sentAt).toISOString(),
      PROFILE_PIC: '',
    };
    socket.emit('ack', body, message);
    socket.to('room').emit('send', body, message);
  });
});
http.listen(0, '127.0.0.1', () => console.log(`listening http://127.0.0.1:${http.address().port}/`));
