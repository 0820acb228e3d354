// Replies to queries, each signed by one of the subnet's nodes.
// Rules: IC interface spec, "Request: Query call" and the response signature there.
//
// A reply may be 3 MiB: it is hashed once, natively, and goes into the response as the last buffer, uncopied.

import { encode, encodeTagged, head, SELF_DESCRIBED } from './cbor.mjs';
import { Hashed, hashOfMap, RESPONSE, sha256 } from './hash.mjs';

/** No faults: what a node does of itself. */
const HONEST = (signature) => signature;

export class QuerySigner {
  #nodes;
  #turn = 0;

  /** @param {object[]} nodes node keys; they take turns */
  constructor(nodes) {
    this.#nodes = nodes;
  }

  /**
   * @param {object} request { requestId, timestamp: bigint }
   * @param {Uint8Array} arg  goes into the result as it is: a view, not a copy
   * @param {(signature: object) => object} [alter]
   * @returns {Uint8Array[]} the body in pieces, the last one is arg
   */
  replied(request, arg, alter = HONEST) {
    const signatures = this.#sign(request, { status: 'replied', reply: { arg: new Hashed(sha256(arg)) } }, alter);
    return [
      Buffer.concat([
        SELF_DESCRIBED,
        head(5, 3),
        encode('status'),
        encode('replied'),
        encode('signatures'),
        encode(signatures),
        encode('reply'),
        head(5, 1),
        encode('arg'),
        head(2, arg.length),
      ]),
      arg,
    ];
  }

  /** @param {object} error RejectError */
  rejected(request, { rejectCode, errorCode, message }, alter = HONEST) {
    const map = { status: 'rejected', reject_code: rejectCode, reject_message: message, error_code: errorCode };
    return [encodeTagged({ ...map, signatures: this.#sign(request, map, alter) })];
  }

  #sign({ requestId, timestamp }, map, alter) {
    const node = this.#nodes[this.#turn++ % this.#nodes.length];
    const digest = hashOfMap({ ...map, timestamp, request_id: requestId });
    const signature = node.sign(Buffer.concat([RESPONSE, digest]));
    return [alter({ timestamp, signature, identity: node.id })];
  }
}
