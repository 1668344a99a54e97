import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { waitFor } from '../support/relay.ts'
import { button, goTo, logIn, replay, rows, waitForBar } from './operator.ts'
import { useStreetProcess } from './street-process.ts'

const browser = await useBrowser()

/** Every control that changes something. */
const WRITES = /^(Replay|Delete|Reveal$|Restore|Stop|Fetch dead letters|Try one first|Select)/

test('a token of the role read sees every page and no control that writes, and each POST that writes answers 403', async () => {
  const street = await useStreetProcess({ fail: ['agents-status=422'] })
  await street.publish(
    Array.from({ length: 30 }, (_, n) => [
      `agents:${n}`,
      { type: 'status', payload: { ref: String(n), status: 'busy' } },
    ]),
  )
  await street.push('campaigns', [
    {
      type: 'cdr',
      payload: { ref: '12', call_ref: 'c1', dialed_at: Math.floor(Date.now() / 1_000), end_reason: 'busy' },
    },
  ])
  await street.waitForParked(30)
  const [entry] = await street.list('/parked')
  expect((await street.ask('POST', '/parked/delete', { ids: [entry?.['id']] })).status).toBe(200)
  // This replay runs for as long as the test.
  const { page: ofJane } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await button(ofJane, 'Select all 29 that match').click()
  await button(ofJane, 'Replay').first().click()
  await ofJane.getByLabel('Messages a second').fill('1')
  await ofJane.getByRole('dialog').getByRole('button', { name: 'Replay', exact: true }).click()
  await waitForBar(ofJane, 'The replay has started')
  const [job] = await street.list('/replays')
  const [last] = await street.list('/parked')
  const PAGES = [
    ['#/wall', '.page-wall h2', undefined],
    ['#/cdrs', 'tr[data-id]', 'Replay …'],
    ['#/stream', '.page-stream button', undefined],
    ['#/parked', 'tr[data-id]', 'Fetch dead letters'],
    ['#/parked?view=queues', 'tr[data-id]', 'Fetch dead letters'],
    ['#/parked?view=messages', 'tr[data-id]', 'Delete'],
    [`#/parked?view=messages&id=${String(last?.['id'])}`, 'dialog pre', 'Reveal'],
    ['#/replays', 'tr[data-id]', undefined],
    [`#/replays?id=${String(job?.['id'])}`, 'dl.counts', 'Stop'],
    ['#/bin', 'tr[data-id]', 'Restore'],
    ['#/health', '.page-health section', undefined],
  ] as const
  const { page, errors } = await logIn(browser, street.url, 'bob')
  const seen: (readonly [string, readonly string[], number])[] = []
  for (const [hash, ready, control] of PAGES) {
    for (const one of [ofJane, page]) {
      await one.goto(`${street.url}/console/${hash}`)
      await one.locator(ready).first().waitFor()
    }
    // The operator sees the control, which proves that the name is right.
    if (control !== undefined) await button(ofJane, control).first().waitFor()
    seen.push([hash, await button(page, WRITES).allInnerTexts(), await page.getByRole('checkbox').count()])
  }
  expect(seen).toEqual(PAGES.map(([hash]) => [hash, [], 0]))
  await page.goto(`${street.url}/console/#/parked?view=messages`)
  await rows(page, 'Parked messages').first().click()
  await page.keyboard.press('Escape')
  for (const key of ['a', 'r', 'd', 'x', 'u']) await page.keyboard.press(key)
  expect(await page.getByRole('dialog').count()).toBe(0)

  const { paths } = (await street.get('/openapi.json')) as { paths: Record<string, Record<string, unknown>> }
  // A search in the body of a request changes nothing.
  const writes = Object.keys(paths).filter((path) => paths[path]?.['post'] !== undefined && path !== '/cdrs/search')
  expect(writes.length).toBeGreaterThan(4)
  const answers = await Promise.all(
    writes.map(async (path) => {
      const own = path.replace(/\{\w+\}/, String(job?.['id']))
      return [path, (await street.ask('POST', own, { ids: [last?.['id']] }, 'bob')).status]
    }),
  )
  expect(answers).toEqual(writes.map((path) => [path, 403]))
  expect((await street.ask('GET', `/parked/${String(last?.['id'])}?reveal=true`, undefined, 'bob')).status).toBe(403)
  const audit = (await street.list('/audit')).map(({ operator }) => operator)
  expect(new Set(audit)).toEqual(new Set(['jane']))
  expect(errors).toEqual([])
})

const NUMBER = '27821234567'
const MARKUP = '"><img src=x onerror="globalThis.ran=1"><script>globalThis.ran=1</script>'

test('markup in names, contacts and payloads is text on every page; no token and no number is in a URL or a log', async () => {
  const street = await useStreetProcess({ env: { ENIGMA_LOG_LEVEL: 'trace' } })
  const dialedAt = Math.floor(Date.now() / 1_000)
  const call = { call_ref: MARKUP, contact_ref: MARKUP, number: NUMBER }
  await street.publish([
    [`campaigns:${MARKUP}`, { type: 'status', payload: { ref: MARKUP, status: MARKUP } }],
    [`campaigns:${MARKUP}`, { type: 'stats', payload: { ref: MARKUP, total_calls: 9, [MARKUP]: 1 } }],
    [`campaigns:${MARKUP}`, { type: 'dial_preview', payload: { ref: MARKUP, callees: [call] } }],
    [`agents:${MARKUP}`, { type: 'status', payload: { ref: MARKUP, status: MARKUP, campaign_ref: MARKUP } }],
    [`agent:${MARKUP}`, { type: 'call', payload: { ref: MARKUP, agent: MARKUP, ...call } }],
    [`agents:${MARKUP}`, { type: MARKUP, payload: {} }],
    // Packets without a status, which the function refuses.
    ...[1, 2].map(
      (n) => [`agents:${MARKUP}`, { type: 'status', payload: { ref: `${n}`, [MARKUP]: MARKUP, ...call } }] as const,
    ),
  ])
  await street.push('campaigns', [
    { type: 'cdr', payload: { ref: MARKUP, ...call, extension: MARKUP, dialed_at: dialedAt, end_reason: MARKUP } },
  ])
  await street.waitForParked(2)
  const { page, errors } = await logIn(browser, street.url, 'jane', { path: '#/stream' })
  const addresses: string[] = []
  page.on('request', (request) => addresses.push(request.url()))
  page.on('framenavigated', (frame) => addresses.push(frame.url()))
  const shows: string[] = []
  const look = async (what: string) => {
    // Waits until the data is drawn.
    await page
      .getByText('globalThis.ran=1')
      .first()
      .waitFor({ state: 'attached', timeout: 15_000 })
      .catch(() => undefined)
    if ((await page.locator('body').innerText()).includes('<img src=x')) shows.push(what)
    addresses.push(page.url())
    expect([what, await page.locator('img, main script, dialog script, [onerror]').count()]).toEqual([what, 0])
    expect([what, await page.evaluate('globalThis.ran')]).toEqual([what, undefined])
  }
  // The first changes may arrive before the page listens.
  await waitFor(async () => {
    await street.publish([
      [`agents:${MARKUP}`, { type: 'status', payload: { ref: MARKUP, status: 'busy', campaign_ref: MARKUP } }],
    ])
    return (await rows(page, 'Changes, newest first').count()) > 0
  }, 'a change on the page')
  await look('stream')
  await goTo(page, 'Wall')
  await look('wall')
  await page.locator('.tile').first().click()
  await page.getByRole('table', { name: 'Latest calls' }).waitFor()
  await look('agent')
  await page.keyboard.press('Escape')
  await goTo(page, 'CDRs')
  await page.getByLabel('Number').fill(NUMBER)
  await page.keyboard.press('Enter')
  await rows(page, 'CDRs').first().waitFor()
  await look('CDRs')
  await rows(page, 'CDRs').first().click()
  await button(page, 'Reveal personal data').click()
  await page.locator('dialog').getByText(NUMBER).first().waitFor()
  await look('CDR')
  await page.keyboard.press('Escape')

  await goTo(page, 'Parked')
  await rows(page, 'Causes').first().waitFor()
  await look('causes')
  await button(page, /^Messages/).click()
  await rows(page, 'Parked messages').nth(1).waitFor()
  await look('messages')
  await rows(page, 'Parked messages').first().click()
  await button(page, 'Reveal').click()
  await page.getByRole('region', { name: 'Content' }).getByText(NUMBER).first().waitFor()
  await look('message')
  await page.keyboard.press('Escape')
  await page.getByLabel('Reference').fill(MARKUP)
  await page.keyboard.press('Enter')
  await button(page, 'Select all 2 that match').click()
  await replay(page, 'Replay 2 messages?')
  await waitForBar(page, 'The replay has started')
  await page.getByRole('link', { name: 'Show it' }).click()
  await page.getByText('failed again').first().waitFor()
  await look('replay')
  await page.getByRole('link', { name: '← All replays' }).click()
  await rows(page, 'Replays').first().waitFor()
  await look('replays')
  await goTo(page, 'Parked')
  await button(page, /^Messages/).click()
  await rows(page, 'Parked messages').first().getByRole('checkbox').click()
  await button(page, 'Delete').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await waitForBar(page, '1 message was moved to the bin.')
  await page.getByRole('link', { name: 'Show the bin' }).click()
  await rows(page, 'Deleted messages').first().waitFor()
  await look('bin')
  await goTo(page, 'Health')
  await page.getByRole('region', { name: 'Audit log' }).getByRole('row').nth(1).waitFor()
  await look('health')
  expect(shows).toEqual(
    expect.arrayContaining(['stream', 'wall', 'agent', 'CDRs', 'CDR', 'messages', 'message', 'replays', 'bin']),
  )
  expect(errors).toEqual([])

  const client = await page.context().newCDPSession(page)
  const { entries } = await client.send('Page.getNavigationHistory')
  addresses.push(...entries.map(({ url }) => url))
  const secrets = [NUMBER, 'jane-operates-']
  const telling = (texts: readonly string[]) =>
    texts.filter((text) => secrets.some((secret) => decodeURIComponent(text).includes(secret)))
  expect(addresses.length).toBeGreaterThan(50)
  expect(telling(addresses)).toEqual([])
  const output = street.output()
  expect(output.length).toBeGreaterThan(1_000)
  expect(secrets.filter((secret) => output.includes(secret))).toEqual([])
})
