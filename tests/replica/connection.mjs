// Connections below requests, for faults that break them. Under HTTP/2 many requests share one: what ends a connection
// ends them all, what ends a stream ends one.

import { constants } from 'node:http2';

/** Time for a frame to leave. */
const FLUSH_MS = 20;

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

  /** The connection of a request; to be asked for while the request is open. */
  of(res) {
    const { stream = null } = res;
    const session = stream?.session ?? null;
    const { remotePort } = session?.socket ?? res.socket ?? {};
    return new Connection({ res, stream, session, socket: this.#sockets.get(remotePort) ?? null });
  }

  destroyAll() {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}

class Connection {
  #res;
  #stream;
  #session;
  #socket;

  /** @param {object} given { res, stream, session, socket }; stream and session are null under HTTP/1.1 */
  constructor({ res, stream, session, socket }) {
    this.#res = res;
    this.#stream = stream;
    this.#session = session;
    this.#socket = socket;
  }

  /** RST: the client sees "connection reset". */
  reset() {
    this.#socket?.resetAndDestroy();
  }

  /** Ends in good order, whatever is missing: FIN, or the end of the stream. */
  finish() {
    if (this.#stream) this.#res.end();
    else this.#socket?.end();
  }

  /** Closes the connection; HTTP/2 announces it with GOAWAY, which an error code makes final for all requests. */
  close(code = constants.NGHTTP2_NO_ERROR) {
    if (!this.#session) return void this.#socket?.end();
    if (code === constants.NGHTTP2_NO_ERROR) return void this.#session.close();
    this.#session.goaway(code);
    setTimeout(() => this.#session.destroy(), FLUSH_MS).unref(); // at once, it would end without the frame
  }

  /** Ends this one request: RST_STREAM, or the connection where there are no streams. */
  resetStream(code = constants.NGHTTP2_INTERNAL_ERROR) {
    if (this.#stream) this.#stream.close(code);
    else this.reset();
  }
}
