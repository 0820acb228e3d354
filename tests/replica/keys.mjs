// The network's keys: root and subnet BLS keys, and a node's Ed25519 keys. From a seed they are always the same, so
// that tests can fix them; otherwise random.

import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { bls12_381 } from '@noble/curves/bls12-381.js';
import { sha256 } from './hash.mjs';
import { selfAuthenticating } from './principal.mjs';

const NODES = 4;

/** SubjectPublicKeyInfo of a BLS12-381 key in G2, up to the key itself (IC interface spec, "Certificates"). */
const BLS_DER = Buffer.from('308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100', 'hex');
/** PKCS#8 of an Ed25519 private key, up to the key itself (RFC 8410). */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Signatures in G1, keys in G2; the name is also the hash-to-curve tag (IC interface spec, "Certificates"). */
const BLS_SUITE = 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_';
const bls = bls12_381.shortSignatures;

export class BlsKey {
  #secret;

  constructor(material) {
    this.#secret = bls12_381.fields.Fr.toBytes(bls12_381.fields.Fr.create(toInteger(material)));
    this.der = new Uint8Array(Buffer.concat([BLS_DER, bls.getPublicKey(this.#secret).toBytes()]));
    this.id = selfAuthenticating(this.der);
  }

  /** 48 bytes. Takes some milliseconds. */
  sign(message) {
    return bls.Signature.toBytes(bls.sign(bls.hash(message, BLS_SUITE), this.#secret));
  }
}

export class NodeKey {
  #secret;

  /** @param {Uint8Array} material the 32 bytes of the private key */
  constructor(material) {
    this.#secret = createPrivateKey({
      key: Buffer.concat([ED25519_PKCS8, material]),
      format: 'der',
      type: 'pkcs8',
    });
    this.der = new Uint8Array(createPublicKey(this.#secret).export({ format: 'der', type: 'spki' }));
    this.id = selfAuthenticating(this.der);
  }

  sign(message) {
    return new Uint8Array(sign(null, message, this.#secret));
  }
}

const derive = (secret, name) => sha256(Buffer.concat([Buffer.from(`${name}:`), secret]));

/**
 * @param {Uint8Array} secret what all keys are made of
 * @returns {{ root: BlsKey, subnet: BlsKey, nodes: NodeKey[] }}
 */
export function makeKeys(secret) {
  const [root, subnet] = ['root', 'subnet'].map((name) => new BlsKey(derive(secret, name)));
  return { root, subnet, nodes: makeNodes(secret, 'node') };
}

/** Keys of another subnet below the same root. */
export function makeOtherKeys(secret, root) {
  return { root, subnet: new BlsKey(derive(secret, 'other subnet')), nodes: makeNodes(secret, 'other node') };
}

/** As many node keys as a subnet has nodes; other names, other keys. */
export const makeNodes = (secret, name) =>
  Array.from({ length: NODES }, (_, i) => new NodeKey(derive(secret, `${name} ${i}`)));

/** The secret for a seed (any text), or a random one. */
export const makeSecret = (seed) => (seed === null ? randomBytes(32) : sha256(`seed:${seed}`));

const toInteger = (bytes) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
