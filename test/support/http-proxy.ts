import { createServer, request as httpRequest } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** Starts an HTTP proxy on 127.0.0.1. It tunnels CONNECT requests, and forwards requests for an absolute `http:` URL. */
export async function useHttpProxy() {
  const seen: string[] = []
  const state = {
    /** The required value of `proxy-authorization`. */
    authorization: undefined as string | undefined,
    /** The status with which the proxy answers each request, instead of forwarding it. */
    status: undefined as number | undefined,
    /** The proxy never answers. */
    hang: false,
    /** The local port to which the proxy connects for a host name. */
    hosts: new Map<string, number>(),
  }
  const sockets = new Set<Socket>()
  const judge = (authorization: string | undefined): number | undefined =>
    state.status ?? (authorization === state.authorization ? undefined : 407)
  const portOf = (host: string, port: number) => state.hosts.get(host) ?? port

  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    if (state.hang) return
    const status = judge(request.headers['proxy-authorization'])
    if (status !== undefined) return void response.writeHead(status).end()
    const url = new URL(request.url ?? '')
    const { 'proxy-authorization': _secret, ...headers } = request.headers
    const onward = httpRequest(
      {
        host: '127.0.0.1',
        port: portOf(url.hostname, Number(url.port)),
        method: request.method,
        path: url.pathname,
        headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  server.on('connect', (request, socket, head) => {
    seen.push(`CONNECT ${request.url}`)
    if (state.hang) return
    const status = judge(request.headers['proxy-authorization'])
    if (status !== undefined) return void socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
    const { hostname, port } = new URL(`http://${request.url}`)
    const target = connect(portOf(hostname, Number(port)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.write(head)
      target.pipe(socket)
      socket.pipe(target)
    })
    for (const one of [target, socket]) one.on('error', () => [target, socket].map((end) => end.destroy()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { port, url: `http://127.0.0.1:${port}`, seen, state }
}
