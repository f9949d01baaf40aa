// A process with a server that only accepts and answers CONNECT: what Node itself needs to see ten thousand resets.
import { createServer } from 'node:net'

const connack = Buffer.from([0x20, 2, 0, 0])
let open = 0
let most = 0
let lastAt = performance.now()
let longestMs = 0

const server = createServer((socket) => {
  open += 1
  most = Math.max(most, open)
  socket.once('data', () => socket.write(connack))
  socket.on('error', () => {})
  socket.on('close', () => {
    open -= 1
    if (open === 0) setTimeout(() => process.send?.({ longestMs: Math.round(longestMs) }), 100)
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.send?.({ port: address.port })
})
setInterval(() => {
  const now = performance.now()
  // While they connect it is busy with something else.
  longestMs = open < most || longestMs > 0 ? Math.max(longestMs, now - lastAt) : 0
  lastAt = now
}, 1)
