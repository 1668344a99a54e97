import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStatus,
  cdr,
  dialPreview,
  latest,
  other,
  type Preview,
  type CdrDetail,
  type CdrRecord,
  type OtherPage,
  type Page,
} from 'enigma-relay/store'
import { describe, expect, it, test } from 'vitest'
import { parseTokens } from '../../src/api/auth.ts'
import { notice, useApi } from './api-world.ts'

const token = (name: string) => `${name}-`.padEnd(32, '0')
const TOKENS = [
  '# rotated on Mondays',
  '',
  ` crm : read : ${token('crm1')} `,
  `crm:read:${token('crm2')}\r`,
  `wallboard:masked:${token('wall')}`,
  `console:operate:${token('cons')}`,
].join('\n')
const bearer = (name: string) => ({ authorization: `Bearer ${token(name)}` })

const faultsOf = (tokens: string, short = ''): string[] => {
  try {
    parseTokens({ token: short, tokens })
    return []
  } catch (error) {
    expect(error).toMatchObject({ code: 'functions.tokens.invalid' })
    return (error as Error).message.split('\n')
  }
}

describe('tokens', () => {
  it('are parsed from lines of name, role and token; API_TOKEN is the short form of a token with the role read', () => {
    expect(parseTokens({ token: ` ${token('short')}\n`, tokens: TOKENS.replaceAll('\n', '\r\n') })).toEqual([
      { name: 'api-token', role: 'read', token: token('short') },
      { name: 'crm', role: 'read', token: token('crm1') },
      { name: 'crm', role: 'read', token: token('crm2') },
      { name: 'wallboard', role: 'masked', token: token('wall') },
      { name: 'console', role: 'operate', token: token('cons') },
    ])
    expect(() => parseTokens({ token: ' ', tokens: '\n# none\n' })).toThrow(
      expect.objectContaining({ code: 'functions.tokens.missing' }) as Error,
    )
  })

  it('are rejected with all faults at once, by line, without quoting any part of a line', () => {
    const secret = 'deadbeefdeadbeefdeadbeefdeadbeef'
    const text = [
      secret,
      `${secret}:read:crm`,
      `a:admin:${secret}`,
      `b:read:short`,
      `c:read:${secret}ü`,
      `two words:read:${secret}`,
      `d:read:${secret}:more`,
      `:read:${secret}`,
      `e:read:`,
    ].join('\n')
    const faults = faultsOf(text, 'too-short')
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([
      'API_TOKENS, line 1',
      'API_TOKENS, line 3',
      'API_TOKENS, line 6',
      'API_TOKENS, line 7',
      'API_TOKENS, line 8',
      'API_TOKEN',
      'API_TOKENS, line 2',
      'API_TOKENS, line 4',
      'API_TOKENS, line 5',
      'API_TOKENS, line 9',
    ])
    expect(faults.join()).not.toMatch(/deadbeef|too-short|admin/)
    // The fault states the length, and the command that generates a valid token.
    expect(faults[7]).toMatch(/\b5 characters\b.*\b32\b.*`openssl rand -hex 32`/)
  })

  it('are at most two per name, have one role per name, and are all different', () => {
    const line = (name: string, role: string, one: string) => `${name}:${role}:${token(one)}`
    expect(faultsOf([line('a', 'read', '1'), line('a', 'read', '2')].join('\n'))).toEqual([])
    expect(
      faultsOf(
        [line('a', 'read', '1'), line('b', 'read', '9'), line('a', 'read', '2'), line('a', 'read', '3')].join('\n'),
      ),
    ).toEqual([expect.stringMatching(/^API_TOKENS, line 1; API_TOKENS, line 3; API_TOKENS, line 4: /)])
    expect(faultsOf([line('a', 'read', '1'), line('a', 'operate', '2')].join('\n'))).toEqual([
      expect.stringMatching(/^API_TOKENS, line 1; API_TOKENS, line 2: /),
    ])
    expect(faultsOf(line('a', 'read', '1'), token('1'))).toEqual([expect.stringContaining('API_TOKENS, line 1')])
  })
})

test('both tokens work during a rotation, a removed one does not; an invalid API_TOKENS rejects all requests and is logged', async () => {
  let text = TOKENS
  const { app, lines } = await useApi({ token: undefined, tokens: () => Promise.resolve(text) })
  const statuses = async () =>
    Promise.all(
      ['crm1', 'crm2', 'wall', 'cons', 'none'].map(
        async (name) => (await app.request('/dialers', { headers: bearer(name) })).status,
      ),
    )
  expect(await statuses()).toEqual([200, 200, 200, 200, 401])
  text = TOKENS.replace(token('crm1'), token('crm3'))
  expect(await statuses()).toEqual([401, 200, 200, 200, 401])
  text = `${text}\nthird:read:short`
  expect(await statuses()).toEqual([500, 500, 500, 500, 500])
  expect(lines).toHaveLength(5)
  expect(lines[0]).toMatchObject({
    code: 'functions.tokens.invalid',
    message: expect.stringContaining('API_TOKENS, line 7'),
  })
})

test('an error is logged with the name and the role of its caller', async () => {
  const { app, lines, proxy } = await useApi({ token: undefined, tokens: TOKENS, store: { tries: 1 } })
  await proxy.stop()
  expect((await app.request('/dialers', { headers: bearer('cons') })).status).toBe(503)
  expect(lines).toMatchObject([{ code: 'functions.api.unavailable', caller: { name: 'console', role: 'operate' } }])
  expect(JSON.stringify(lines)).not.toContain(token('cons'))
})

/** Returns an answer followed by its decoded base64 ids and cursors. */
const withDecoded = (text: string): string =>
  text +
  [...text.matchAll(/"([\w-]{8,})"/g)].map(([, word = '']) => Buffer.from(word, 'base64url').toString()).join(' ')

describe('a caller with the role masked', () => {
  const number = '+27821234567'
  const contact = '8001015009087'
  const recording_url = `https://x.example/${number}.wav`

  async function useMasked() {
    const world = await useApi({ token: undefined, tokens: TOKENS })
    const dialed_at = Math.floor(Date.now() / 1000) - 60
    const whole = { number, dial_number: '0821234567', contact_ref: contact, recording_url }
    await world.commit(
      agentCall(notice({ call_ref: '2', ...whole, agent: '1002' }, { reference: '1002' })),
      campaignStatus(notice({ status: 'started' }, { reference: '7' })),
      dialPreview(
        notice({ callees: [{ number, contact_ref: contact, name: 'Miller' }, { number }] }, { reference: '7' }),
      ),
      cdr(notice({ call_ref: '3', dialed_at, ref: '7', end_reason: 'busy', ...whole }, { transport: 'list' })),
      cdr(
        notice(
          {
            call_ref: '3',
            dialed_at,
            ref: '7',
            ...whole,

            name: 'Miller',
            note: { phone: number },
            extension: null,
            end_reason: 'busy',
          },
          { transport: 'list' },
        ),
      ),
      cdr(
        notice(
          {
            call_ref: '4',
            dialed_at,
            number,
            end_reason: `forwarded to ${number}`,
            call_dir: `to ${number}`,
            call_time: null,
            hold_time: null,
            end_code: null,
            unsure: { call_time: `after ${number}`, hold_time: { caller: number }, end_code: [number] },
          },
          { transport: 'list', reference: '7' },
        ),
      ),
      agentStats(
        notice(
          { calls: 3, number: 27821234567, last_caller: 27821234567, [number]: 1, toString: 1 },
          { reference: '1002' },
        ),
      ),
      agentStatus(notice({ status: `busy with ${number}`, campaign_ref: '7' }, { reference: '1002' })),
      latest(
        notice(
          { ref: '9', number, caller: 'Miller', text: [`call ${number}`], nested: { recording_url } },
          { type: 'crm', subType: 'note', reference: '9' },
        ),
      ),
      latest(notice(`call ${number}`, { type: 'crm', subType: 'note', reference: '9' })),
      other(
        notice(
          {},
          {
            type: 'unknown',
            subType: 'unknown',
            data: `{"phone":"${number}"}`,
            channel: `enigma:notifications:x:${contact}`,
          },
        ),
      ),
      other(notice({}, { type: 'unknown', subType: 'unknown', data: Uint8Array.of(0xff) })),
    )
    const ask = (path: string, name = 'wall', headers = {}) =>
      world.app.request(path, { headers: { ...bearer(name), ...headers } })
    const json = async <Answer>(path: string, name?: string) => (await (await ask(path, name)).json()) as Answer
    return { ...world, ask, json }
  }

  it('gets the answers of masked=true, without personal data', async () => {
    const { ask, json } = await useMasked()
    const { items } = await json<Page<CdrRecord>>('/cdrs')
    expect(items).toMatchObject([
      { call_ref: expect.any(String) as string },
      { call_ref: expect.any(String) as string },
    ])
    const [revised, odd] = items.toSorted((a, b) => ((a.call_ref ?? '') < (b.call_ref ?? '') ? -1 : 1))
    expect(revised).toMatchObject({
      number: '+2********67',
      contact_ref: '80*********87',
      end_reason: 'busy',
      revised: true,
    })
    const paths = [
      '/agents',
      '/agents/1002',
      '/campaigns',
      '/campaigns/7',
      '/campaigns/7/preview',
      '/cdrs',
      '/cdrs?limit=1',
      `/cdrs/${revised?.id}`,
      `/cdrs/${odd?.id}`,
      '/other',
      '/parked',
      '/gaps',
      '/missing',
      '/relays',
      '/dialers',
      '/kinds/crm/note/9',
    ]
    for (const path of paths) {
      const response = await ask(path)
      const text = withDecoded(await response.text())
      expect([path, response.status]).toEqual([path, 200])
      expect([path, text]).toEqual([path, expect.not.stringMatching(/82123|0821|800101|Miller|\.wav/) as string])
      // A caller with full access gets the same answer with masked=true.
      const asked = await ask(`${path}${path.includes('?') ? '&' : '?'}masked=true`, 'crm1')
      expect([path, withDecoded(await asked.text())]).toEqual([path, text])
      // The role read sees the personal data.
      if (/agents|cdrs|preview|other|kinds/.test(path)) expect(await (await ask(path, 'crm1')).text()).toMatch(/82123/)
    }
    expect((await json<Preview>('/campaigns/7/preview')).callees).toEqual(
      Array.from({ length: 2 }, () => ({ number: null, contact_ref: null })),
    )
    expect((await json<CdrDetail>(`/cdrs/${revised?.id}`)).payload).toMatchObject({
      call_ref: '3',
      end_reason: 'busy',
    })
    expect(await json('/agents/1002')).toMatchObject({
      states: [{ status: 'busy with +***********', campaign_ref: '7' }],
      stats: [{ values: { calls: 3 }, series: [{ values: { calls: 3 } }] }],
    })
    expect((await json<OtherPage>('/other')).items).toMatchObject([
      { text: null, base64: null },
      { text: null, base64: null },
    ])
  })

  it('gets an ETag of the masked answer, not of the whole answer', async () => {
    const { ask } = await useMasked()
    const [masked, whole] = [await ask('/cdrs'), await ask('/cdrs', 'crm1')].map(
      ({ headers }) => headers.get('etag') ?? '',
    )
    expect(masked).not.toBe(whole)
    expect((await ask('/cdrs', 'wall', { 'if-none-match': masked })).status).toBe(304)
    expect((await ask('/cdrs', 'wall', { 'if-none-match': whole })).status).toBe(200)
  })

  it.each(['number', 'contact'])('cannot search by %s, right or wrong', async (parameter) => {
    const { ask, json } = await useMasked()
    for (const value of [number, contact, '1']) {
      const path = `/cdrs?${parameter}=${encodeURIComponent(value)}`
      expect(await json(path)).toMatchObject({ type: 'urn:enigma-relay:problem:forbidden', status: 403, parameter })
      expect((await ask(path, 'cons')).status).toBe(200)
    }
    expect((await ask('/cdrs?agent=1002&campaign=7&end_reason=busy')).status).toBe(200)
  })

  it('sees the same OpenAPI document as the role read', async () => {
    const { ask } = await useMasked()
    expect(await (await ask('/openapi.json')).text()).toBe(await (await ask('/openapi.json', 'crm1')).text())
  })
})
