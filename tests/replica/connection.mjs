// Connections below requests, for faults that break them. Under HTTP/2 many requests share one: what ends a connection
// ends them all, what ends a stream ends one.

import { constants } from 'node:http2';

export class Connections {
  #sockets = new Map(); // TCP sockets by the client's port; a TLS socket is not one
  #sessions = new Set(); // of HTTP/2

  constructor(server) {
    server.on('connection', (socket) => {
      const { remotePort } = socket;
      this.#sockets.set(remotePort, socket);
      socket.once('close', () => this.#sockets.delete(remotePort));
    });
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => {}); // a client that goes away is no error
      session.once('close', () => this.#sessions.delete(session));
    });
  }

  /** RST: the client sees "connection reset". */
  reset(res) {
    this.#socketOf(res)?.resetAndDestroy();
  }

  /** FIN, in good order, whatever is missing. HTTP/2: the stream ends early. */
  finish(res) {
    if (res.stream) res.end();
    else res.socket?.end();
  }

  /** Closes the connection after what has been written; HTTP/2 announces it with GOAWAY. */
  close(res, { code = constants.NGHTTP2_NO_ERROR } = {}) {
    const session = res.stream?.session;
    if (!session) return void res.socket?.end();
    if (code === constants.NGHTTP2_NO_ERROR) return void session.close();
    session.goaway(code);
    session.destroy();
  }

  /** Ends this one request: RST_STREAM, or the connection where there are no streams. */
  resetStream(res, { code = constants.NGHTTP2_INTERNAL_ERROR } = {}) {
    if (res.stream) res.stream.close(code);
    else this.reset(res);
  }

  destroyAll() {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  #socketOf(res) {
    const { remotePort } = res.stream?.session?.socket ?? res.socket ?? {};
    return this.#sockets.get(remotePort);
  }
}
