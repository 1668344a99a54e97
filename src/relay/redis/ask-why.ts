import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ErrorReply } from 'redis'
import { RelayError } from '../errors.ts'
import { isRefused, isVague, judgeRedis, type RedisFault } from './advice.ts'
import { toTlsOptions, type RedisAddress } from './address.ts'

/** How long (ms) a server may take to say by itself why it will not have us, and to answer when it is spoken to. */
const UNASKED_MS = 300
const ANSWER_MS = 1_000

/** What came over a connection until it ended, or until the time was up. */
type Heard = { readonly text: string; readonly error?: NodeJS.ErrnoException; readonly isOpen: boolean }

/**
 * Finds out why a connection ends or hangs without a word. A server that has no room for another client says so and closes at once, which
 * the client library takes for the answer to a command whose failure it ignores; a port with TLS and a client without do not understand
 * each other at all. So a connection is made on which nothing is sent at first. Resolves to what explains it, or undefined. Never throws.
 */
export async function askWhy(address: RedisAddress): Promise<Error | undefined> {
  try {
    const { hostname, port, protocol } = new URL(address.url)
    const at = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) }
    const tcp = () => connectTcp(at)
    if (protocol === 'rediss:') {
      const heard = await listen(connectTls({ ...at, ...toTlsOptions(address) }), '')
      // A reset says nothing; all others are OpenSSL's, or Node's about the certificate.
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
    // Whose certificate it is does not matter here, and nothing is sent to it.
    const secure = await listen(connectTls({ ...at, rejectUnauthorized: false }), '')
    const speaksTls =
      secure.error === undefined ? secure.isOpen : /alert/i.test(`${secure.error.code} ${secure.error.message}`)
    return speaksTls ? new RelayError('relay.redis.tls_port', 'the server answered with TLS') : undefined
  } catch {
    return undefined
  }
}

/** What the error of a connection means; where that tells nothing, the server is asked why. Never throws. */
export async function judgeConnection(error: unknown, address: RedisAddress): Promise<RedisFault> {
  const fault = judgeRedis(error)
  const reason = isVague(fault) && !isRefused(fault) ? await askWhy(address) : undefined
  return reason === undefined ? fault : judgeRedis(reason)
}

/** Listens for what comes unasked, and then for the answer to `question`, if there is any. */
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

/** The server's reason; undefined when it said nothing, or answered as a sound one does. */
function toReason(text: string): Error | undefined {
  // Our own connection logs in before it asks anything.
  if (text === '' || /^(\+|-NOAUTH)/.test(text)) return undefined
  if (text.startsWith('-')) return new ErrorReply(quote(text.slice(1)))
  return new RelayError('relay.redis.not_redis', `the server answered ${quote(text)}`)
}

/** The first line, without what a terminal would take for a command. */
const quote = (text: string): string => (text.split(/\r?\n/)[0] ?? '').replace(/\p{Cc}+/gu, ' ').slice(0, 200)
