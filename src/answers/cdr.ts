import * as v from 'valibot'
import { campaignRef, maybeText, pageOf, source, text, time } from './fields.ts'

const maybeNumber = (description: string) => v.pipe(v.nullable(v.number()), v.description(description))

const cdr = {
  id: text(
    'Id of the CDR for `GET /cdrs/{id}`. It stays the same for as long as the CDR is kept, and reveals nothing about its content.',
  ),
  source,
  call_ref: maybeText(
    "The dialler's reference of the call. Unique only in combination with `source`, `dialed_at` and `number`.",
  ),
  dialed_at: time(
    'When the call was dialled. If that is unknown, this is the time at which the relay received the CDR, and `unsure` contains `dialed_at`.',
  ),
  campaign_ref: campaignRef,
  extension: maybeText("The agent's extension. Null if no agent was reached."),
  contact_ref: maybeText('The reference of the contact in your own records.'),
  number: maybeText("The subscriber's number."),
  dial_number: maybeText('The number as it was dialled.'),
  end_reason: maybeText(
    'hungup, callee_hungup, agent_hungup, voicemail, busy, reject, timeout, error, failed, or another value from the dialler.',
  ),
  end_code: maybeNumber('The Q.850 cause code.'),
  call_time: maybeNumber('Talk time in seconds.'),
  hold_time: maybeNumber('Hold time in seconds.'),
  call_dir: maybeText('inbound or outbound.'),
  recording_url: maybeText('The URL of the recording.'),
  received_at: time('When the relay received it.'),
  unsure: v.pipe(
    v.array(v.string()),
    v.description(
      'Names of the fields that could not be read with certainty. Here they are null or a best guess; `payload` has the original values.',
    ),
  ),
}

export const CdrRecord = v.pipe(
  v.object({
    ...cdr,
    revised: v.pipe(v.boolean(), v.description('Another CDR with the same key but different content was received.')),
  }),
  v.metadata({
    ref: 'Cdr',
    description: 'A call detail record. The dialler writes one per number tried.',
    examples: [
      {
        id: '5d8a1f6a3c0f1c6d0b7e9a42f1b1f3a0c9d2e4b7',
        source: 'main',
        call_ref: '90071992547409931',
        dialed_at: '2026-01-31T08:00:00.000Z',
        campaign_ref: '7',
        extension: '1002',
        contact_ref: 'A-1001',
        number: '+15550100',
        dial_number: '015550100',
        end_reason: 'hungup',
        end_code: 16,
        call_time: 93,
        hold_time: 0,
        call_dir: 'outbound',
        recording_url: null,
        received_at: '2026-01-31T08:01:35.000Z',
        unsure: [],
        revised: false,
      },
    ],
  }),
)
export type CdrRecord = v.InferOutput<typeof CdrRecord>

const Revision = v.pipe(
  v.object(cdr),
  v.metadata({ ref: 'CdrRevision', description: 'A CDR with the same key but different content.' }),
)

export const CdrDetail = v.pipe(
  v.object({
    ...CdrRecord.entries,
    revisions: v.pipe(v.array(Revision), v.description('CDRs with the same key but different content, newest first.')),
    payload: v.pipe(v.record(v.string(), v.unknown()), v.description('Every field that the dialler sent.')),
  }),
  v.metadata({ ref: 'CdrDetail', description: 'A CDR with its revisions and its full payload.' }),
)
export type CdrDetail = v.InferOutput<typeof CdrDetail>

export const CdrsPage = pageOf(CdrRecord)
export type CdrsPage = v.InferOutput<typeof CdrsPage>
