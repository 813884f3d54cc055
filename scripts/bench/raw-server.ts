// The ceiling: a bare Bun.serve that publishes a frame of our size for every frame it gets; nothing parsed, nothing kept.
const padding = ' '.repeat(130);
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: (request, self) => (self.upgrade(request) ? undefined : new Response('no', { status: 400 })),
  websocket: {
    open(socket) {
      socket.subscribe('room');
    },
    message(socket, frame) {
      if (frame === 'hello') {
        socket.send('welcome');
        return;
      }
      socket.send(`a${frame}${padding}`);
      socket.publish('room', `p${frame}${padding}`);
    },
  },
});
console.log(`listening ${server.url.href}`);
