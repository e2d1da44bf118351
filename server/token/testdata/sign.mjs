// Makes what other programs make: reads requests (a JSON list) from standard
// input and prints their results as a JSON list. A request's maker is one of:
// jsonwebtoken, jose (tokens of method, key, header and claims; the key is a
// secret, or a private key as PEM), none (jose's unsigned token), encrypted
// (jose's JWE), set (a JWK set of the public halves of keys, each with what
// members says).

import { createPrivateKey, createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";
import * as jose from "jose";
import jsonwebtoken from "jsonwebtoken";

const isPrivate = (key) => key.startsWith("-----BEGIN PRIVATE KEY-----");
const bytes = (key) => new TextEncoder().encode(key);

const makers = {
  jsonwebtoken: ({ method, key, header = {}, claims }) => jsonwebtoken.sign(claims, key, { algorithm: method, header }),
  jose: async ({ method, key, header = {}, claims }) =>
    new jose.SignJWT(claims)
      .setProtectedHeader({ alg: method, ...header })
      .sign(isPrivate(key) ? createPrivateKey(key) : bytes(key), {
        crit: Object.fromEntries((header.crit ?? []).map((name) => [name, true])),
      }),
  none: ({ claims }) => new jose.UnsecuredJWT(claims).encode(),
  encrypted: ({ key, claims }) =>
    new jose.EncryptJWT(claims).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(bytes(key).subarray(0, 32)),
  set: async ({ keys }) =>
    JSON.stringify({
      keys: await Promise.all(
        keys.map(async ({ key, members }) => ({ ...(await jose.exportJWK(createPublicKey(key))), ...members })),
      ),
    }),
};

const results = [];
for (const request of JSON.parse(await text(process.stdin))) {
  try {
    results.push(await makers[request.maker](request));
  } catch (err) {
    throw new Error(`request ${results.length}: ${err.message}`);
  }
}
console.log(JSON.stringify(results));
