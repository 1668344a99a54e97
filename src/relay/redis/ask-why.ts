import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ErrorReply } from 'redis'
import { RelayError } from '../errors.ts'
import { isRefused, isVague, judgeRedis, type RedisFault } from './advice.ts'
import { toTlsOptions, type RedisAddress } from './address.ts'

/** How long (ms) a server may take to give a reason unasked, and to answer a question. */
const UNASKED_MS = 300
const ANSWER_MS = 1_000

/** What arrived on a connection until it ended, or until the time was up. */
type Heard = { readonly text: string; readonly error?: NodeJS.ErrnoException; readonly isOpen: boolean }

/**
 * Finds out why a connection ends or hangs without an error. A server without room for another client says so and closes at once, which
 * node-redis takes for the answer to a command whose failure it ignores; a port with TLS and a client without do not understand each other at
 * all. So this connects, and at first sends nothing. Resolves to an error that explains it, or undefined. Never throws.
 */
export async function askWhy(address: RedisAddress): Promise<Error | undefined> {
  try {
    const { hostname, port, protocol } = new URL(address.url)
    const at = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) }
    const tcp = () => connectTcp(at)
    if (protocol === 'rediss:') {
      const heard = await listen(connectTls({ ...at, ...toTlsOptions(address) }), '')
      // A reset explains nothing. All other errors are OpenSSL's, or Node's about the certificate.
      if (heard.error !== undefined && !/^E[A-Z]+$/.test(heard.error.code ?? '')) return heard.error
      const reply = toReason(heard.text)
      if (reply !== undefined) return reply
      const plain = await listen(tcp(), 'PING\r\n')
      return /^[+-]/.test(plain.text)
        ? new RelayError('relay.redis.plain_port', `the server answered ${quote(plain.text)}`)
        : undefined
    }
    const heard = await listen(tcp(), 'PING\r\n')
    const reply = toReason(heard.text)
    if (reply !== undefined || heard.text !== '') return reply
    // The certificate does not matter here: nothing is sent.
    const secure = await listen(connectTls({ ...at, rejectUnauthorized: false }), '')
    const speaksTls =
      secure.error === undefined ? secure.isOpen : /alert/i.test(`${secure.error.code} ${secure.error.message}`)
    return speaksTls ? new RelayError('relay.redis.tls_port', 'the server answered with TLS') : undefined
  } catch {
    return undefined
  }
}

/** Judges the error of a connection; if it explains nothing, asks the server. Never throws. */
export async function judgeConnection(error: unknown, address: RedisAddress): Promise<RedisFault> {
  const fault = judgeRedis(error)
  const reason = isVague(fault) && !isRefused(fault) ? await askWhy(address) : undefined
  return reason === undefined ? fault : judgeRedis(reason)
}

/** Listens for what arrives unasked, then sends `question`, if there is one, and listens for the answer. */
async function listen(socket: Socket, question: string): Promise<Heard> {
  let text = ''
  let error: NodeJS.ErrnoException | undefined
  let isConnected = false
  const ended = Promise.withResolvers<void>()
  const connected = () => {
    isConnected = true
    timer = setTimeout(() => {
      if (question === '') return ended.resolve()
      socket.write(question)
      timer = setTimeout(ended.resolve, ANSWER_MS)
    }, UNASKED_MS)
  }
  let timer = setTimeout(ended.resolve, ANSWER_MS)
  socket
    .on('encrypted' in socket ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer)
      connected()
    })
    .on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(0, 500)
      if (text.includes('\n')) ended.resolve()
    })
    .on('error', (reason) => (error = reason))
    .on('close', () => ended.resolve())
  await ended.promise
  clearTimeout(timer)
  const isOpen = isConnected && !socket.destroyed
  socket.destroy()
  return { text, isOpen, ...(error === undefined ? {} : { error }) }
}

/** The server's reason; undefined when it gave none, or answered as a healthy server does. */
function toReason(text: string): Error | undefined {
  // NOAUTH is no reason: the relay's own connection logs in first.
  if (text === '' || /^(\+|-NOAUTH)/.test(text)) return undefined
  if (text.startsWith('-')) return new ErrorReply(quote(text.slice(1)))
  return new RelayError('relay.redis.not_redis', `the server answered ${quote(text)}`)
}

/** The first line, without control characters. */
const quote = (text: string): string => (text.split(/\r?\n/)[0] ?? '').replace(/\p{Cc}+/gu, ' ').slice(0, 200)
