import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { COMMAND_QUEUE, parseCommand, ProtocolError, queueName, type RelayCommand } from '../../protocol/index.ts'
import { backoffMs, createChangeDetector, sleep, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { describe } from '../relay-error.ts'
import { isAccessDenied, isMissingQueue } from '../targets/sqs/verdict.ts'
import { logOutcome, runCommand, type CommandResult, type CommandTools } from './run-command.ts'

/** A received command, or the fault of a message that is not a command. */
export type ReceivedCommand = {
  readonly messageId: string
  /** How often the command was received, by any relay. */
  readonly receives: number
  readonly command: RelayCommand | ProtocolError
  /** Hides the command from all other relays while `work` runs. */
  readonly hold: <T>(work: () => Promise<T>) => Promise<T>
  /** Makes the command visible at once, for another relay. */
  readonly giveBack: () => Promise<void>
  readonly remove: () => Promise<void>
}

/** The longest wait (s) that SQS offers: an idle relay makes three requests a minute. */
const POLL_SECONDS = 20

/** How long (ms) the response to such a request may take. */
const POLL_LIMIT_MS = (POLL_SECONDS + 10) * 1_000

/** Opens the command queue. @throws the SDK's error, also when there is no queue, or no right to see it */
export async function openCommandQueue(sqs: SQSClient, prefix: string, signal: AbortSignal) {
  const QueueName = queueName(prefix, COMMAND_QUEUE)
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }), { abortSignal: signal })
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['VisibilityTimeout'] }),
    { abortSignal: signal },
  )
  const hiddenSeconds = Number(Attributes?.['VisibilityTimeout'] ?? COMMAND_QUEUE.visibilitySeconds)

  const hide = (ReceiptHandle: string | undefined, VisibilityTimeout: number) =>
    sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout }))

  return {
    /**
     * Resolves with the next command, after waiting for one if `waits`. While a command of a source is hidden, SQS hands out no other command of that
     * source. @throws the SDK's error
     */
    async receive(waits: boolean): Promise<ReceivedCommand | undefined> {
      const { Messages: [message] = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 1,
          WaitTimeSeconds: waits ? POLL_SECONDS : 0,
          MessageSystemAttributeNames: ['ApproximateReceiveCount'],
        }),
        { abortSignal: signal, requestTimeout: POLL_LIMIT_MS },
      )
      if (message === undefined) return undefined
      const { ReceiptHandle, MessageId: messageId = '', Body = '', Attributes: of } = message
      return {
        messageId,
        receives: Number(of?.ApproximateReceiveCount ?? 1),
        command: readCommand(Body),
        async hold(work) {
          const end = new AbortController()
          const renewing = (async () => {
            for (;;) {
              await sleep((hiddenSeconds * 1_000) / 3, end.signal)
              if (end.signal.aborted) return
              // If this fails, another relay may carry out the command as well, which only costs requests.
              await hide(ReceiptHandle, hiddenSeconds).catch(() => undefined)
            }
          })()
          try {
            return await work()
          } finally {
            end.abort()
            await renewing
          }
        },
        async giveBack() {
          // If this fails, the message becomes visible again when its visibility timeout ends.
          await hide(ReceiptHandle, 0).catch(() => undefined)
        },
        async remove() {
          await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))
        },
      }
    },
  }
}

export type CommandQueue = Awaited<ReturnType<typeof openCommandQueue>>

function readCommand(body: string): RelayCommand | ProtocolError {
  try {
    return parseCommand(body)
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
}

type PollerOptions = CommandTools & {
  readonly sqs: SQSClient
  readonly queuePrefix: string
  /** Returns the source with this id, if this relay can use it now. */
  readonly findSource: (sourceId: string) => SourceConfig | undefined
  readonly log: Logger
  /**
   * How long (ms) the relay stays away from the queue after it gave a command back, multiplied by how often that command was received. Default 5,000.
   */
  readonly asideMs?: number
  /** How often (ms) the relay retries when the queue is missing or access is denied. Default 300,000. */
  readonly lookMs?: number
}

/** The longest time (ms) that the relay stays away from the queue. */
const MAX_ASIDE_MS = 30_000

/** The longest wait (ms) before the relay asks SQS again after an error. */
const MAX_BACKOFF_MS = 60_000

/** The shortest time (ms) between two requests that find nothing. */
const MIN_POLL_MS = 1_000

/** How often a command may be handed over, for each relay that has a file of the command's source. */
const MAX_HANDOVERS = 3

type Own = ReceivedCommand & { readonly command: RelayCommand; readonly source: SourceConfig }

/**
 * Takes operator commands from their queue, and carries out those for sources of this relay, one at a time. A command for another source is given
 * back at once, and this relay then stays away from the queue for a while. Meanwhile every other relay can receive the command, so it reaches the
 * right relay, however many relays share the queue. Readiness does not depend on commands.
 */
export function createCommandPoller(options: PollerOptions) {
  const { sqs, queuePrefix, findSource, log, asideMs = 5_000, lookMs = 300_000 } = options
  const name = queueName(queuePrefix, COMMAND_QUEUE)
  const change = createChangeDetector()
  const changeOfCommand = createChangeDetector()

  const aside = (given: readonly ReceivedCommand[], signal: AbortSignal) =>
    sleep(Math.min(MAX_ASIDE_MS, asideMs * Math.min(...given.map(({ receives }) => receives))), signal)

  /**
   * Returns the next command that this relay can carry out. Commands for other sources stay hidden meanwhile, so that SQS hands out none of them
   * again.
   */
  const next = async (queue: CommandQueue, signal: AbortSignal): Promise<Own | undefined> => {
    const foreign: ReceivedCommand[] = []
    let own: Own | undefined
    try {
      while (own === undefined) {
        const received = await queue.receive(foreign.length === 0)
        if (received === undefined) break
        const { command } = received
        if (command instanceof ProtocolError) {
          log.warn(
            { code: 'relay.commands.invalid', messageId: received.messageId, error: describe(command) },
            'The command queue contained a message that is not a command; the relay deleted it',
          )
          await received.remove()
          continue
        }
        const source = findSource(command.source)
        if (source === undefined) foreign.push(received)
        else own = { ...received, command, source }
      }
    } finally {
      await Promise.all(foreign.map((one) => one.giveBack()))
    }
    if (own === undefined && foreign.length > 0) await aside(foreign, signal)
    return own
  }

  const carryOut = async (own: Own, signal: AbortSignal): Promise<void> => {
    const { command, source, messageId, receives } = own
    const { action, ids, operator } = command
    const fields = { source: source.id, action, operator, messageId }
    const fail = (error: unknown) => {
      // Logs each new error of a command once, and not at each attempt.
      const words = typeof error === 'string' ? error : describe(error)
      if (changeOfCommand(`${messageId} ${words}`) === 'new')
        log.warn(
          { code: 'relay.commands.failed', ...fields, error: words },
          'The relay could not carry out an operator command; the command stays in its queue and is retried',
        )
    }
    let result: CommandResult
    try {
      result = await own.hold(() => runCommand(command, source, options, signal))
    } catch (error) {
      return signal.aborted ? own.giveBack() : fail(error)
    }
    const { unknown, elsewhere, problem } = result
    if (signal.aborted) return own.giveBack()
    if (problem !== undefined) return fail(problem)
    // The unknown entries may be in the file of another relay of this source, which can then receive the command.
    if (unknown.length > 0 && receives <= MAX_HANDOVERS * elsewhere.length) {
      await own.giveBack()
      return aside([own], signal)
    }
    await own.remove()
    logOutcome(log, { ...fields, asked: ids.length }, result)
  }

  return {
    /** Takes commands until the signal aborts. Never throws. */
    async run(signal: AbortSignal): Promise<void> {
      let queue: CommandQueue | undefined
      for (let failures = 0; !signal.aborted;) {
        try {
          queue ??= await openCommandQueue(sqs, queuePrefix, signal)
          const fromMs = performance.now()
          const own = await next(queue, signal)
          if (change(undefined) === 'over')
            log.info({ code: 'relay.commands.on', queue: name }, 'The relay takes operator commands again')
          failures = 0
          if (own !== undefined) await carryOut(own, signal)
          // Some servers ignore WaitTimeSeconds and answer at once.
          else if (performance.now() - fromMs < MIN_POLL_MS) await sleep(MIN_POLL_MS, signal)
        } catch (error) {
          if (signal.aborted) return
          queue = undefined
          failures++
          const isOff = isMissingQueue(error) || isAccessDenied(error)
          if (change(isOff ? 'off' : 'unavailable') === 'new') {
            if (isOff)
              log.info(
                { code: 'relay.commands.off', queue: name, error: describe(error) },
                'The relay takes no operator commands, because the command queue does not exist or the credentials do not allow access to it; everything else works',
              )
            else
              log.warn(
                { code: 'relay.commands.unavailable', queue: name, error: describe(error) },
                'The relay cannot receive operator commands from SQS; it retries',
              )
          }
          await sleep(isOff ? lookMs : backoffMs(failures, { baseMs: 1_000, maxMs: MAX_BACKOFF_MS }), signal)
        }
      }
    },
  }
}
