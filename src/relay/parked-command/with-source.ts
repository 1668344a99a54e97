import { ErrorReply } from 'redis'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { describe, RelayError } from '../errors.ts'
import { judgeConnection } from '../redis/ask-why.ts'
import { createRedis, type Redis } from '../redis/client.ts'

/**
 * Connects to a source for as long as `body` needs it. Unlike a relay it does not wait for a Redis that is away at the start; a
 * connection that is cut later is made again.
 *
 * @throws RelayError `relay.parked.redis_failed`, or what `body` throws
 */
export async function withSource<T>(
  source: SourceConfig,
  log: Logger,
  body: (client: Redis) => Promise<T>,
): Promise<T> {
  const client = createRedis({ ...source, name: source.id, log, reconnect: true })
  try {
    // The client itself would try for ever: its first failure ends it here.
    await new Promise<void>((resolve, reject) => {
      client.once('error', reject)
      client.connect().then(() => resolve(), reject)
    }).catch(async (error: unknown) => {
      const { says, words, fix } = await judgeConnection(error, source)
      throw new RelayError(
        'relay.parked.redis_failed',
        `the Redis of source "${source.id}" at ${new URL(source.url).host} cannot be used: ${says} (${words}): ${fix}`,
        { cause: error },
      )
    })
    return await body(client)
  } finally {
    if (client.isOpen) client.destroy()
  }
}

/** A command is tried so often: a connection that was cut is made again meanwhile. */
const TRIES = 8

/**
 * Gives a command to the Redis of a source, again when the connection was cut: it must be one that may run twice.
 *
 * @throws RelayError `relay.parked.redis_failed`
 */
export async function askRedis<T>(sourceId: string, command: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await command()
    } catch (error) {
      if (error instanceof ErrorReply || failures === TRIES) {
        throw new RelayError(
          'relay.parked.redis_failed',
          `the Redis of source "${sourceId}" failed a command: ${describe(error)}; check ENIGMA_SOURCES and the rights of its user`,
          { cause: error },
        )
      }
      await sleep(backoffMs(failures))
    }
  }
}
