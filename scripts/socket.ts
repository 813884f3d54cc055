// A terminal for a socket: prints every frame that comes, sends every line that is typed. For trying things out.
const [url] = process.argv.slice(2);
if (!url) {
  console.error('Usage: bun scripts/socket.ts ws://localhost:22148/ws');
  process.exit(2);
}
const socket = new WebSocket(url);
socket.onmessage = ({ data }) => console.log(`< ${data}`);
socket.onclose = ({ code, reason }) => {
  console.log(`closed ${code} ${reason}`);
  process.exit(0);
};
socket.onopen = async () => {
  for await (const line of console) if (line.trim()) socket.send(line);
  socket.close();
};
