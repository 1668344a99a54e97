import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { button, goTo, logIn, replay, rows, seeReplay, waitForBar } from './operator.ts'
import { useStreetProcess } from './street-process.ts'

const browser = await useBrowser()

test('messages that are deleted, restored and replayed have the same bytes: emoji, gzipped and non-UTF-8 ones', async () => {
  const street = await useStreetProcess({
    fail: ['agents-status=422', 'campaigns-dial_preview=422', 'other=422'],
  })
  const emoji = 'on 😀 break'
  const callees = Array.from({ length: 20_000 }, (_, n) => ({
    number: `2782${String(n).padStart(7, '0')}`,
    contact_ref: `k${n}`,
  }))
  const notUtf8 = Uint8Array.of(0xff, 0, 0xfe, 0x7b, 0xc3)
  const plain = Buffer.from(`{"type":"status","payload":{"ref":"1001","status":"${emoji}"}}`)
  const spaced = Buffer.from(
    `{"type":"status",\t"payload":{"ref":"1003","status":"é\u2028休","campaign_ref":12345678901234567890}}`,
  )
  await street.publish([
    ['agents:1001', plain],
    ['agents:1003', spaced],
    // Too large for an SQS message, so it is sent gzipped.
    ['campaigns:12', { type: 'dial_preview', payload: { ref: '12', callees } }],
    ['agents:1002', notUtf8],
  ])
  await street.waitForParked(4)
  const before = await readContents(street)
  const heads = before.map(({ head }) => head).join()
  // Unchanged, or as base64 where JSON or SQS would change the bytes.
  for (const bytes of [plain, spaced, Buffer.from(notUtf8)])
    expect([bytes.toString(), bytes.toString('base64')].some((text) => heads.includes(text))).toBe(true)
  expect(Math.max(...before.map(({ length }) => length))).toBeGreaterThan(800_000)

  const { page, errors } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await button(page, 'Select all 4 that match').click()
  await button(page, 'Delete').click()
  await page.getByRole('heading', { name: 'Delete 4 messages?' }).waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await waitForBar(page, '4 messages were moved to the bin.')
  expect(await street.list('/parked')).toEqual([])
  await page.getByRole('link', { name: 'Show the bin' }).click()
  await rows(page, 'Deleted messages').nth(3).waitFor()
  await button(page, 'Select all 4').click()
  await button(page, 'Restore').click()
  await waitForBar(page, '4 messages are parked again.')
  expect(await readContents(street)).toEqual(before)

  // Messages that fail again keep their bytes.
  const replayAll = async () => {
    await goTo(page, 'Parked')
    await button(page, /^Messages/).click()
    await button(page, 'Select all 4 that match').click()
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
    states: [{ status: 'é\u2028休', campaign_ref: '12345678901234567890' }],
  })
  expect(digest(JSON.stringify((await street.get('/campaigns/12/preview'))['callees']))).toBe(
    digest(JSON.stringify(callees)),
  )
  // The bytes that the function received and stored.
  expect((await street.list('/other')).map(({ base64 }) => base64)).toEqual([Buffer.from(notUtf8).toString('base64')])
  // During the restart, the API could not be reached.
  expect(errors.filter((error) => !error.startsWith('Failed to load resource'))).toEqual([])
})

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Reads the content of each parked message, by notification id: its beginning, length and digest. */
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
