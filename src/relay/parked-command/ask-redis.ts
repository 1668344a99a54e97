import { ErrorReply } from 'redis'
import { backoffMs, sleep } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import { ParkedError } from '../parking/parked-error.ts'

/** A connection that was cut is made again meanwhile: a command is tried so often. */
const TRIES = 8

/**
 * Gives a command to the Redis of a source, again when the connection was cut: it must be one that may run twice.
 *
 * @throws ParkedError `relay.parked.redis_failed`
 */
export async function askRedis<T>(sourceId: string, command: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await command()
    } catch (error) {
      if (error instanceof ErrorReply || failures === TRIES) {
        throw new ParkedError(
          'relay.parked.redis_failed',
          `the Redis of source "${sourceId}" failed a command: ${describe(error)}; check ENIGMA_SOURCES and the rights of its user`,
          { cause: error },
        )
      }
      await sleep(backoffMs(failures))
    }
  }
}
