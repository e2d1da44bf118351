// A listener that is a plain program: connects to URL with the request headers
// HEADERS (JSON), both from the environment, prints one JSON object, and ends.
import WebSocket from "ws";

const socket = new WebSocket(process.env.URL, { headers: JSON.parse(process.env.HEADERS) });
const got = {};
const end = () => {
  console.log(JSON.stringify(got));
  process.exit();
};
socket.on("unexpected-response", async (_request, response) => {
  got.status = response.statusCode;
  let body = "";
  for await (const chunk of response) body += chunk;
  got.error = JSON.parse(body).error;
  end();
});
socket.on("message", (data, binary) => {
  if (!binary) got.welcome ??= JSON.parse(data);
  else {
    got.packet = data.toString("hex");
    end();
  }
});
