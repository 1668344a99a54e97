import type { Answer, WireRequest } from './sqs-faults.ts'

const KIB = 1024

/**
 * Servers, and proxies before them, that take 256 KiB at once whatever their queues say, each in the way in which it refuses.
 * Seen at LocalStack 4.3, at ElasticMQ 1.6, and at a proxy with a limit for bodies.
 */
export const SMALLER_SERVERS: readonly (readonly [string, (request: WireRequest) => Answer])[] = [
  [
    'BatchRequestTooLong',
    (request) => (bytesOf(request) > 256 * KIB ? { status: 400, code: 'BatchRequestTooLong' } : 'accept'),
  ],
  [
    'MessageTooLong in the words of another error',
    (request) =>
      bytesOf(request) > 256 * KIB
        ? { status: 400, code: 'InvalidAttributeValue', message: 'MessageTooLong' }
        : 'accept',
  ],
  ['413', (request) => (bytesOf(request) > 256 * KIB ? { status: 413, code: 'Html' } : 'accept')],
  [
    'an entry that failed',
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
