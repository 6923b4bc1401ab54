// A socket.io server as its documentation shows it: every client is in one room, and a POST emits to all of them.
import { createServer } from "node:http";
import { Server } from "socket.io";

const ROOM = "feed";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => socket.join(ROOM));

// Behind socket.io's own listener, which takes what is under its path.
http.on("request", (request, response) => {
  if (request.method !== "POST" || request.url !== "/emit") return;
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    io.to(ROOM).emit("new-message", JSON.parse(body));
    response.setHeader("content-type", "application/json");
    response.setHeader("content-length", 2);
    response.end("{}");
  });
});

http.listen(0, "127.0.0.1", () => console.log(`listens on http://127.0.0.1:${http.address().port}`));
