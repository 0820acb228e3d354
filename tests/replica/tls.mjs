// A certificate authority of the moment, and a server certificate of it for 127.0.0.1 (X.509, RFC 5280; DER, X.690).

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const DAY_MS = 86_400_000;
const DAYS = 30;

function tlv(tag, ...contents) {
  const body = Buffer.concat(contents);
  const { length } = body;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), body]);
}

const sequence = (...items) => tlv(0x30, ...items);
const octets = (...items) => tlv(0x04, ...items);
const bits = (bytes, unused = 0) => tlv(0x03, Buffer.from([unused]), bytes);
const oid = (hex) => tlv(0x06, Buffer.from(hex, 'hex'));
const TRUE = tlv(0x01, Buffer.from([0xff]));

/** Dates until 2049 in UTCTime (RFC 5280, 4.1.2.5). */
const time = (ms) => tlv(0x17, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2)}`));

const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'));
const name = (text) => sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from(text)))));

/** Extensions by the last byte of their object identifier, 2.5.29.x. */
const extension = (number, isCritical, value) =>
  sequence(oid(`551d${number.toString(16).padStart(2, '0')}`), ...(isCritical ? [TRUE] : []), octets(value));

const spkiOf = (key) => key.export({ type: 'spki', format: 'der' });
const keyId = (key) => createHash('sha1').update(spkiOf(key)).digest();

function certificate({ subject, issuer, key, signer, signerKey, extensions }) {
  const now = Date.now();
  const serial = randomBytes(16);
  serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and no shorter form
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))), // version 3
    tlv(0x02, serial),
    ECDSA_SHA256,
    name(issuer),
    sequence(time(now - DAY_MS), time(now + DAYS * DAY_MS)),
    name(subject),
    spkiOf(key),
    tlv(0xa3, sequence(...extensions, extension(35, false, sequence(tlv(0x80, keyId(signerKey)))))),
  );
  const der = sequence(body, ECDSA_SHA256, bits(sign('sha256', body, signer)));
  const lines = der.toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`;
}

/** @returns {{ ca: string, key: string, cert: string }} PEM: the authority, and the server's key and certificate */
export function makeAuthority() {
  const [authority, server] = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }));
  const issuer = 'Local network for tests';
  const signed = { issuer, signer: authority.privateKey, signerKey: authority.publicKey };
  const ca = certificate({
    ...signed,
    subject: issuer,
    key: authority.publicKey,
    extensions: [
      extension(19, true, sequence(TRUE)), // an authority
      extension(15, true, bits(Buffer.from([0x06]), 1)), // that signs certificates and revocations
      extension(14, false, octets(keyId(authority.publicKey))),
    ],
  });
  const cert = certificate({
    ...signed,
    subject: '127.0.0.1',
    key: server.publicKey,
    extensions: [
      extension(15, true, bits(Buffer.from([0x80]), 7)), // digital signatures
      extension(37, false, sequence(oid('2b06010505070301'))), // of a TLS server
      extension(17, false, sequence(tlv(0x82, Buffer.from('localhost')), tlv(0x87, Buffer.from([127, 0, 0, 1])))),
    ],
  });
  return { ca, key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }), cert };
}
