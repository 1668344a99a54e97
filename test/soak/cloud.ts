import { gunzipSync } from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '../../src/simulator/random.ts'
import { CONTENT_ENCODING, GZIP, parseEvents, type Notification } from '../../src/protocol/index.ts'
import { startProxy } from '../support/proxy.ts'
import {
  startSqsFaults,
  type AcceptedEntry,
  type Answer,
  type WireEntry,
  type WireRequest,
} from '../support/sqs-faults.ts'
import { POISON } from './packets.ts'

/** The present fault of SQS. */
export type SqsMode = 'well' | '500' | 'throttle' | 'hang' | 'lose' | 'failed' | 'credentials' | 'slow' | 'stuck'

/** The maximum message size: small, so that some messages exceed it. */
const MAX_BYTES = 64 * 1024

const REFUSALS: Partial<Record<SqsMode, { status: number; code: string }>> = {
  '500': { status: 500, code: 'InternalFailure' },
  throttle: { status: 400, code: 'ThrottlingException' },
  credentials: { status: 403, code: 'ExpiredTokenException' },
}

/** The answer of the queue `other` in the mode `stuck`, in which it accepts nothing. */
const STUCK = { status: 400, code: 'OverLimit' }

export type CloudOptions = {
  readonly seed: number
  /** Called with each message that SQS has accepted, and the notifications in it. */
  readonly onAccepted: (entry: AcceptedEntry, events: readonly Notification[]) => void
}

/** Starts an SQS server with faults, behind a proxy with separate faults. */
export async function startCloud({ seed, onAccepted }: CloudOptions) {
  const random = createRandom(seed)
  const sqs = await startSqsFaults({ maxBytes: MAX_BYTES, onAccepted: (entry) => onAccepted(entry, readEntry(entry)) })
  const proxy = await startProxy(sqs.port)
  const state = { mode: 'well' as SqsMode, requests: 0, refused: 0 }

  const answer = async (request: WireRequest): Promise<Answer> => {
    state.requests++
    await sleep(state.mode === 'slow' ? random.between(50, 500) : random.between(0, 4))
    const { mode } = state
    const refusal = mode === 'stuck' && request.queue.endsWith('other.fifo') ? STUCK : REFUSALS[mode]
    if (refusal !== undefined) {
      state.refused++
      return refusal
    }
    if (mode === 'hang') return 'hang'
    // Requests with content that SQS rejects are rejected in every mode.
    if (mode === 'lose' && !request.entries.some(isPoison) && random.chance(0.5)) return 'lose'
    return {
      fail: (entry) => {
        if (isPoison(entry))
          return { Code: 'InvalidMessageContents', SenderFault: true, Message: 'refused, as the soak wants it' }
        return mode === 'failed' && random.chance(0.3) ? { Code: 'InternalError', SenderFault: false } : undefined
      },
    }
  }
  sqs.state.answer = answer

  return {
    endpoint: `http://127.0.0.1:${proxy.port}`,
    state,
    proxy,
    stop: async (): Promise<void> => {
      await proxy.stop()
      await sqs.stop()
    },
  }
}

export type Cloud = Awaited<ReturnType<typeof startCloud>>

const isPoison = ({ MessageBody }: WireEntry): boolean => MessageBody.includes(POISON)

function readEntry({ MessageBody, MessageAttributes }: WireEntry): Notification[] {
  const isGzipped = MessageAttributes?.[CONTENT_ENCODING]?.StringValue === GZIP
  return parseEvents(isGzipped ? gunzipSync(Buffer.from(MessageBody, 'base64')).toString() : MessageBody)
}
