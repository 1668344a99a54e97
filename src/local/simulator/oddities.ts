import type { Outgoing } from '../../producer/index.ts'
import { BASE_KEY } from '../../protocol/index.ts'
import type { Centre } from './centre.ts'

/** What a real dialler also writes now and then: packets nobody expects, and CDRs a second time. */

const MEAN_MS = 40_000
const REPLAY_MEAN_MS = 240_000

const LIST = `${BASE_KEY}:campaigns`
const CHANNEL = `${BASE_KEY}:agents:1001`

/** What cannot be read, by the fault that `readPacket` names. */
const MALFORMED: readonly (string | Uint8Array)[] = [
  '', // empty
  '{"type":"status","payload":{"ref":"1001",', // not_json: cut off
  'OK', // not_json
  '[{"type":"status"}]', // not_object
  '{"payload":{"ref":"1001"}}', // no_type
  '{"type":7,"payload":{"ref":"1001"}}', // type_not_string
  Uint8Array.of(0x80, 0x04, 0x95, 0xff, 0x00, 0xfe), // not_utf8
]

const ODDITIES: readonly Outgoing[] = [
  ...MALFORMED.flatMap((packet): Outgoing[] => [
    { transport: 'list', key: LIST, packet },
    { transport: 'pubsub', key: CHANNEL, packet },
  ]),
  {
    transport: 'list',
    key: LIST,
    packet: { type: 'survey', payload: { ref: 'spring-offer', call_ref: 1, answers: [5, 4, 5] } },
  },
  { transport: 'pubsub', key: CHANNEL, packet: { type: 'whisper', payload: { ref: '1001', supervisor: '9001' } } },
  {
    transport: 'pubsub',
    key: `${BASE_KEY}:trunks:gateway-2`,
    packet: { type: 'status', payload: { ref: 'gateway-2', status: 'registered' } },
  },
  { transport: 'pubsub', key: BASE_KEY, packet: { type: 'notice', payload: { text: 'licence renewed' } } },
]

export function startOddities(centre: Centre): void {
  const { random } = centre
  // Each once before any comes again, as from a shuffled pack of cards.
  let deck: Outgoing[] = []
  const odd = () => {
    if (deck.length === 0) deck = [...ODDITIES]
    centre.emit(deck.splice(random.whole(0, deck.length - 1), 1)[0] as Outgoing)
    centre.after(random.wait(MEAN_MS), odd)
  }
  centre.after(random.between(8_000, 13_000), odd)

  // After an outage the dialler pushes its backup files back: the same CDRs again, in any order.
  const replay = () => {
    for (let count = random.whole(2, 6); count > 0 && centre.recentCdrs.length > 0; count--)
      centre.emit(random.pick(centre.recentCdrs))
    centre.after(random.wait(REPLAY_MEAN_MS), replay)
  }
  centre.after(random.wait(REPLAY_MEAN_MS), replay)
}
