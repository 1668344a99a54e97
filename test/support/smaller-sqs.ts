import type { Answer, WireRequest } from './sqs-faults.ts'

const KIB = 1024

/**
 * Servers and proxies that accept at most 256 KiB at once, whatever `MaximumMessageSize` their queues report. Each rejects more in a different
 * way. Observed with LocalStack 4.3, ElasticMQ 1.6, and a proxy with a body limit.
 */
export const SMALLER_SERVERS: readonly (readonly [string, (request: WireRequest) => Answer])[] = [
  [
    'BatchRequestTooLong',
    (request) => (bytesOf(request) > 256 * KIB ? { status: 400, code: 'BatchRequestTooLong' } : 'accept'),
  ],
  [
    'InvalidAttributeValue with the message MessageTooLong',
    (request) =>
      bytesOf(request) > 256 * KIB
        ? { status: 400, code: 'InvalidAttributeValue', message: 'MessageTooLong' }
        : 'accept',
  ],
  ['413', (request) => (bytesOf(request) > 256 * KIB ? { status: 413, code: 'Html' } : 'accept')],
  [
    'a failed entry',
    (request) =>
      bytesOf(request) <= 256 * KIB
        ? 'accept'
        : {
            fail: ({ MessageBody }) =>
              MessageBody.length > 256 * KIB
                ? {
                    Code: 'InvalidParameterValue',
                    SenderFault: true,
                    Message: 'One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.',
                  }
                : undefined,
          },
  ],
]

export const bytesOf = ({ entries }: WireRequest): number =>
  entries.reduce((sum, { MessageBody }) => sum + MessageBody.length, 0)
