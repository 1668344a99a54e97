import { fromSqs, type App } from '../../src/adapter/index.ts'
import { formatPacket, formatSequence, type DeclaredRoute, type Notification } from '../../src/protocol/index.ts'
import { sqsEvent, sqsRecord } from '../adapter/factories.ts'
import { commitTo } from './commit.ts'
import { useStore } from './store.ts'

let sent = 0

/** Runs a function of `functions/` as behind SQS, with a real read model. Everything stops when the test ends. */
export async function useFunction(app: App, route: DeclaredRoute) {
  const { store } = await useStore()
  let outcome = 'done'
  const handler = fromSqs(app, {
    commit: commitTo(store, ({ reason }) => void (outcome = `parked: ${reason}`)),
    recall: store.recall,
    attempts: route.attempts,
    maxAgeMs: route.maxAgeMs,
    postpone: async () => undefined,
    log: () => undefined,
  })
  return {
    read: store.read,
    /** Sends a notification in the relay's format to the function. Resolves with `done`, `retry`, or `parked: <reason>`. */
    send: async (
      payload: unknown,
      own: Partial<Notification> & { readonly reference?: string } = {},
    ): Promise<string> => {
      const { reference, ...more } = own
      const number = Date.now()
      const notification: Notification = {
        id: `main/p/${number}/${++sent}`,
        source: '/enigma/main',
        type: `enigma.${route.type}.${route.subType}`,
        ...(reference === undefined ? {} : { subject: reference }),
        time: new Date(number).toISOString(),
        datacontenttype: 'application/json',
        data: formatPacket({ type: route.subType, payload }),
        transport: 'pubsub',
        channel: `enigma:notifications:${route.type}${reference === undefined ? '' : `:${reference}`}`,
        sequence: formatSequence(number, sent),
        ...more,
      }
      outcome = 'done'
      const { batchItemFailures } = await handler(sqsEvent(sqsRecord([notification])))
      return batchItemFailures.length > 0 ? 'retry' : outcome
    },
  }
}
