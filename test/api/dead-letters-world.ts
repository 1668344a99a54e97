import * as sdk from '@aws-sdk/client-sqs'
import { formatEvent, formatPacket, formatSequence, type Notification } from 'enigma-relay/protocol'
import { onTestFinished, vi } from 'vitest'
import type { ApiOptions } from '../../src/api/create-api.ts'
import { createDeadLetters, type DeadLettersOptions } from '../../src/lambda/dead-letters/dead-letters.ts'
import { useSqs } from '../support/sqs.ts'
import { useApi } from './api-world.ts'
import { routeOf, ROUTES } from '../support/routes.ts'

const BASE_MS = Date.now()
let made = 0

/** A notification as the relay makes it. */
export function toNotification(
  type: string,
  subType: string,
  payload: unknown,
  own: Partial<Notification> = {},
): Notification {
  const number = BASE_MS + made++
  return {
    id: `main/p/${number}/0`,
    source: '/enigma/main',
    type: `enigma.${type}.${subType}`,
    subject: '1002',
    time: new Date(number).toISOString(),
    datacontenttype: 'application/json',
    data: formatPacket({ type: subType, payload }),
    transport: 'pubsub',
    channel: `enigma:notifications:${type}:1002`,
    sequence: formatSequence(number, 0),
    ...own,
  }
}

/** The read API over a real SQS, with every request counted that it makes there. */
export async function useParked(options: Partial<DeadLettersOptions> = {}, more: Partial<ApiOptions> = {}) {
  const sqs = await useSqs()
  const asked: string[] = []
  const client = new sdk.SQSClient({
    endpoint: sqs.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
  })
  onTestFinished(() => client.destroy())
  client.middlewareStack.add(
    (next, context) => async (args) => {
      asked.push(String(context.commandName).replace('Command', ''))
      return next(args)
    },
    { step: 'initialize' },
  )
  const lines: object[] = []
  const log = (line: object) => void lines.push(line)
  const deadLetters = createDeadLetters({
    prefix: 'enigma-',
    routes: ROUTES,
    connect: () => Promise.resolve({ sdk, client }),
    keepMs: 0,
    log,
    ...options,
  })
  const api = await useApi({ deadLetters, ...more })
  const url = (route: string) => sqs.url(route).replace(/\.fifo$/, '-dlq.fifo')
  return {
    ...api,
    sqs,
    asked,
    said: lines,
    url,
    /** Puts a message in a dead-letter queue, in a group of its own. */
    put: async (route: string, MessageBody: string, attributes: Record<string, string> = {}, group = `g${++made}`) => {
      const MessageAttributes = Object.fromEntries(
        Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]),
      )
      const command = {
        QueueUrl: url(route),
        MessageBody,
        MessageAttributes,
        MessageGroupId: group,
        MessageDeduplicationId: `d${++made}`,
      }
      return (await sqs.sqs.send(new sdk.SendMessageCommand(command))).MessageId ?? ''
    },
    /** How many messages a dead-letter queue would hand out now. */
    visible: async (route: string) => {
      const command = new sdk.GetQueueAttributesCommand({
        QueueUrl: url(route),
        AttributeNames: ['ApproximateNumberOfMessages'],
      })
      return Number((await sqs.sqs.send(command)).Attributes?.['ApproximateNumberOfMessages'])
    },
    /** `park` as the functions have it. */
    park: async (type: string, subType: string) => {
      vi.resetModules()
      for (const [name, value] of Object.entries({
        AWS_ENDPOINT_URL_SQS: sqs.endpoint,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
      })) {
        vi.stubEnv(name, value)
      }
      onTestFinished(() => void vi.unstubAllEnvs())
      const { wire } = await import('../../src/lambda/wiring.ts')
      return wire(routeOf(type, subType)).park
    },
  }
}

export const toBody = (...notifications: Notification[]): string =>
  notifications.length === 1
    ? formatEvent(notifications[0] as Notification)
    : `[${notifications.map(formatEvent).join(',')}]`
