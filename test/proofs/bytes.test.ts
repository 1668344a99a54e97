import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { waitFor } from '../support/relay.ts'
import { button, logIn, replay, rows, seeReplay, waitForBar } from './operator.ts'
import { useStreetProcess } from './street-process.ts'

const browser = await useBrowser()

test('messages that are deleted, restored and replayed have the same bytes: emoji, gzipped and non-UTF-8 ones', async () => {
  const street = await useStreetProcess({
    fail: ['agents-status=422', 'campaigns-dial_preview=422', 'other=422'],
  })
  const emoji = 'on 😀 break'
  const callees = Array.from({ length: 20_000 }, (_, n) => ({ number: `2782${String(n).padStart(7, '0')}`, contact_ref: `k${n}` }))
  const notUtf8 = Uint8Array.of(0xff, 0, 0xfe, 0x7b, 0xc3)
  const spaced = Buffer.from(`{"type":"status",\t"payload":{"ref":"1003","status":"\u2028","campaign_ref":12345678901234567890}}`)
  await street.publish([
    ['agents:1001', Buffer.from(`{"type":"status","payload":{"ref":"1001","status":"${emoji}"}}`)],
    ['agents:1003', spaced],
    // More than a message of SQS takes: it is sent gzipped.
    ['campaigns:12', { type: 'dial_preview', payload: { ref: '12', callees } }],
    ['agents:1002', notUtf8],
  ])
  await street.waitForParked(4)
  const before = await readContents(street)
  const heads = before.map(({ head }) => head).join()
  for (const part of [emoji, spaced.toString('base64'), Buffer.from(notUtf8).toString('base64')])
    expect(heads).toContain(part)
  expect(Math.max(...before.map(({ length }) => length))).toBeGreaterThan(800_000)

  const { page, errors } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await button(page, 'Choose all 4 that match').click()
  await button(page, 'Delete').click()
  await page.getByRole('heading', { name: 'Delete 4 messages?' }).waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await waitForBar(page, '4 messages were moved to the bin.')
  expect(await street.list('/parked')).toEqual([])
  await page.getByRole('link', { name: 'Show the bin' }).click()
  await rows(page, 'Deleted messages').nth(3).waitFor()
  await button(page, 'Choose all 4').click()
  await button(page, 'Restore').click()
  await waitForBar(page, '4 messages are parked again.')
  expect(await readContents(street)).toEqual(before)

  // What a replay sends fails again, and is parked with the bytes that have come.
  const replayAll = async () => {
    await page.getByRole('link', { name: 'Parked' }).click()
    await button(page, /^Messages/).click()
    await button(page, 'Choose all 4 that match').click()
    await replay(page, 'Replay 4 messages?')
    await waitForBar(page, 'The replay has started')
    return (await seeReplay(page)).counts
  }
  expect(await replayAll()).toMatchObject({ 'failed again': '4' })
  expect(await readContents(street)).toEqual(before)
  await street.restart()
  await page.reload()
  expect(await replayAll()).toMatchObject({ handled: '4' })
  expect(await street.get('/agents/1001')).toMatchObject({ states: [{ status: emoji }] })
  expect(await street.get('/agents/1003')).toMatchObject({
    states: [{ status: '\u2028', campaign_ref: '12345678901234567890' }],
  })
  expect(digest(JSON.stringify((await street.get('/campaigns/12/preview'))['callees']))).toBe(digest(JSON.stringify(callees)))
  await waitFor(
    async () => ((await street.get('/other'))['counts'] as Record<string, number>)['agents/unknown'] === 1,
    'the packet that is no JSON',
  )
  expect(errors).toEqual([])
})

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

/** What would be sent, by the ids of the notifications: its beginning, and what tells it from any other. */
async function readContents(street: Awaited<ReturnType<typeof useStreetProcess>>) {
  const entries = await street.list('/parked')
  const all = await Promise.all(
    entries.map(async (entry) => {
      const detail = await street.get(`/parked/${String(entry['id'])}?reveal=true`)
      const { text } = detail['content'] as { readonly text: string }
      const id = String((entry['notification_ids'] as readonly string[])[0])
      return { id, head: text.slice(0, 1_000), length: text.length, digest: digest(text) }
    }),
  )
  return all.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}
