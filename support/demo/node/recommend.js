// SPDX-License-Identifier: Apache-2.0
// The recommendations of the demo's shop: products whose customers are alike.
'use strict';
const http = require('node:http');

const PRODUCTS = 20_000;
const FEATURES = 32;

// A list of numbers for each product, the same at every start.
const vectors = Array.from({ length: PRODUCTS }, (_, product) => {
  let state = product * 2654435761 + 1;
  return Float64Array.from({ length: FEATURES }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
});

function cosine(a, b) {
  let product = 0;
  let lengthA = 0;
  let lengthB = 0;
  for (let i = 0; i < a.length; i++) {
    product += a[i] * b[i];
    lengthA += a[i] * a[i];
    lengthB += b[i] * b[i];
  }
  return product / Math.sqrt(lengthA * lengthB);
}

function mostSimilar(product, count) {
  const wanted = vectors[product % PRODUCTS];
  const scores = vectors.map((vector, other) => ({ other, score: cosine(wanted, vector) }));
  scores.sort((a, b) => b.score - a.score);
  return scores.slice(1, count + 1).map(({ other }) => `product ${other}`);
}

const server = http.createServer((request, response) => {
  const product = Number(request.url.split('/').pop());
  const answer = request.url === '/healthz' ? {} : mostSimilar(Number.isSafeInteger(product) ? product : 0, 5);
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(answer));
});
server.listen(8080);
process.on('SIGTERM', () => process.exit(0));
