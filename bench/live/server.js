// An HTTP/1.1 server and an HTTP/2 server (plain TCP) in one process, with the flaws of Node.js 22.13.0 in reach.
//
//     node --experimental-permission --allow-fs-read=* server.js PORT
//
// PORT answers HTTP/1.1: /        a fixed text
//                        /worker  whether a worker of node's own starts although workers are not permitted
//                        /state   JSON: HTTP/2 sessions opened, still held, ended by an error; memory
// PORT+1 answers HTTP/2: the same fixed text for every path.
'use strict';
const http = require('node:http');
const http2 = require('node:http2');
const { register } = require('node:module');
const channel = require('node:diagnostics_channel');

const TEXT = 'served without a pause\n';
const port = Number(process.argv[2]);
const sessions = { opened: 0, held: 0, errors: 0 };

// The loader of modules makes a worker that the permission model does not count; a program can get at its class.
let Internal = null;
channel.subscribe('worker_threads', ({ worker }) => { Internal ??= worker.constructor; });
try { register('data:text/javascript,'); } catch (error) { console.log(`register: ${error.code}`); }

function forbiddenWorker(response) {
  if (Internal === null) return response.end('no class');
  try {
    const worker = new Internal('none', {});
    worker.on('error', () => {});
    worker.on('exit', () => response.end('started'));
  } catch (error) {
    response.end(error.code ?? error.message);
  }
}

const plain = http.createServer((request, response) => {
  if (request.url === '/worker') return forbiddenWorker(response);
  if (request.url === '/state') {
    return response.end(JSON.stringify({ ...sessions, rss: process.memoryUsage.rss() }));
  }
  response.setHeader('Content-Type', 'text/plain');
  response.end(TEXT);
});
plain.keepAliveTimeout = 600_000;
plain.requestTimeout = 0;

const framed = http2.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain');
  response.end(TEXT);
});
framed.on('session', (session) => {
  sessions.opened += 1;
  sessions.held += 1;
  session.on('error', () => { sessions.errors += 1; });
  session.on('close', () => { sessions.held -= 1; });
});
framed.on('sessionError', () => {});

framed.listen(port + 1, '127.0.0.1', () => plain.listen(port, '127.0.0.1', () => console.log('listening')));
