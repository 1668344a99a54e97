import { formatEvent, formatPacket } from '../../src/protocol/index.ts'

/** A call to agent 1002 as Lambda gives it to a function: a record of an SQS event. */
export const callRecord = () => ({
  messageId: 'm',
  receiptHandle: 'r',
  body: formatEvent({
    id: 'main/p/1/0',
    source: '/enigma/main',
    type: 'enigma.agents.call',
    subject: '1002',
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: formatPacket({ type: 'call', payload: { ref: '1002', call_ref: '7' } }),
    transport: 'pubsub',
    channel: 'enigma:notifications:agents:1002',
    sequence: '1',
  }),
  attributes: { ApproximateReceiveCount: '1' },
  eventSourceARN: 'arn:aws:sqs:us-east-1:0:q.fifo',
})
