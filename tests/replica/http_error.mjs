// A request refused by the HTTP layer: status and a text body.

export class HttpError extends Error {
  /** @param {object} [headers] more headers of the answer */
  constructor(status, text, headers = {}) {
    super(text);
    this.name = 'HttpError';
    this.status = status;
    this.headers = headers;
  }
}
