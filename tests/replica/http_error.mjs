// A request refused by the HTTP layer: status and a text body.

export class HttpError extends Error {
  constructor(status, text) {
    super(text);
    this.name = 'HttpError';
    this.status = status;
  }
}
