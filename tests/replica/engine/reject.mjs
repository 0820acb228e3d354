// The refusals a canister call can end in: reject code, IC0xxx error code and text.
// Codes: IC interface spec, "Reject codes", and the error code list of the execution environment; the first
// nonzero digit of an error code equals the reject code.

import { Principal } from '@icp-sdk/core/principal';

/** User visible text is cut at 8 KiB (execution environment, MAX_REJECT_MESSAGE). */
const MAX_MESSAGE_BYTES = 8 * 1024;

export class RejectError extends Error {
  /**
   * @param {number} rejectCode 1..6
   * @param {string} errorCode  'IC0503' and the like
   * @param {string} message    the reject message as the caller sees it
   */
  constructor(rejectCode, errorCode, message) {
    super(clip(message));
    this.name = 'RejectError';
    this.rejectCode = rejectCode;
    this.errorCode = errorCode;
  }
}

/** A failure inside running code. The engine turns it into a RejectError that names the canister. */
export class CanisterFault extends Error {
  constructor(errorCode, message) {
    super(message);
    this.name = 'CanisterFault';
    this.errorCode = errorCode;
  }
}

export const trapped = (why) => new CanisterFault('IC0502', `Canister trapped: ${why}`);

export const calledTrap = (text) => new CanisterFault('IC0503', `Canister called \`ic0.trap\` with message: ${text}`);

export const contractViolation = (what) => new CanisterFault('IC0504', `Canister violated contract: ${what}`);

export const invalidModule = (why) => new CanisterFault('IC0505', `Canister's Wasm module is not valid: ${why}`);

export const didNotReply = () => new CanisterFault('IC0506', 'Canister did not reply to the call');

export const outOfInstructions = () =>
  new CanisterFault('IC0522', 'Canister exceeded the instruction limit for single message execution.');

export const noModule = () =>
  new CanisterFault('IC0537', 'Attempted to execute a message, but the canister contains no Wasm module');

export const noMethod = (kind, name) => new CanisterFault('IC0536', `Canister has no ${kind} method '${name}'.`);

/** Every fault above is the canister's own: reject code 5, prefixed with the canister's name. */
export function faultToReject(fault, canisterId) {
  const name = Principal.fromUint8Array(canisterId).toText();
  return new RejectError(5, fault.errorCode, `Error from Canister ${name}: ${fault.message}`);
}

function clip(text) {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_MESSAGE_BYTES) return text;
  let end = MAX_MESSAGE_BYTES;
  while ((bytes[end] & 0xc0) === 0x80) end--; // never in the middle of a character
  return bytes.toString('utf8', 0, end);
}
