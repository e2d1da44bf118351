// A publisher that is a plain program: connects to URL with the token TOKEN in a
// header, both from the environment, sends the message PACKET (hex) once it is
// welcome, prints one JSON object, and ends when its standard input has.
import WebSocket from "ws";

const { URL: url, TOKEN: token, PACKET: packet } = process.env;
const socket = new WebSocket(url, { headers: { token } });
const got = {};
socket.on("unexpected-response", async (_request, response) => {
  got.status = response.statusCode;
  let body = "";
  for await (const chunk of response) body += chunk;
  got.error = JSON.parse(body).error;
  console.log(JSON.stringify(got));
  process.exit();
});
socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.type !== "welcome") return;
  got.welcome = message;
  socket.send(Buffer.from(packet, "hex"));
  process.stdin.on("end", () => socket.close()).resume();
});
socket.on("close", () => {
  console.log(JSON.stringify(got));
  process.exit();
});
