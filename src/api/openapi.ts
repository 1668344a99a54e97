import type { Hono } from 'hono'
import { openAPIRouteHandler } from 'hono-openapi'
import * as v from 'valibot'
import type { ApiEnv } from './auth.ts'
import { describe } from './describe.ts'
import { query } from './query.ts'

const TOKENS =
  'The value of `API_TOKEN`, or a token of `API_TOKENS`. Its role is `read`, `masked` (personal data is masked: numbers and references show ' +
  'only their first and last two characters; packets and the callees of a preview are hidden; no search by number or contact) or `operate`.'

const DocumentAnswer = v.objectWithRest({ openapi: v.string(), paths: v.record(v.string(), v.unknown()) }, v.unknown())

/**
 * `GET /openapi.json`: the OpenAPI 3.1 document of all addresses of an app, made on the first request from the very schemas that
 * check parameters and type answers.
 */
export function openApi(app: Hono<ApiEnv>) {
  const description = describe({
    summary: 'This document',
    description: 'The OpenAPI 3.1 document of this API.',
    tag: 'service',
    answer: DocumentAnswer,
  })
  const document = openAPIRouteHandler(app, {
    excludeStaticFile: false,
    defaultValidationErrorResponse: false,
    documentation: {
      info: {
        title: 'enigma-relay read API',
        version: '1.0.0',
        description:
          'The current state of an Enigma dialler: agents, campaigns, calls and CDRs. References are always text, also where ' +
          'the dialler wrote a number. Every answer has an `ETag`; every error is a problem (RFC 9457) with its own `type`.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      tags: [
        { name: 'agents', description: 'Agents: their state in each campaign, their current call, their counters.' },
        {
          name: 'campaigns',
          description: 'Campaigns: state, history, counters, and the contacts that will be dialled next.',
        },
        { name: 'cdrs', description: 'Call detail records of the last days, newest first.' },
        { name: 'changes', description: 'What has changed, as it happens.' },
        { name: 'dialers', description: 'Diallers and their state: started, stopping, stopped.' },
        { name: 'gaps', description: 'Time spans in which Pub/Sub could not be heard.' },
        { name: 'kinds', description: 'The latest values of kinds of your own.' },
        {
          name: 'other',
          description: 'Notifications of unknown types, and packets that cannot be read, with their bytes.',
        },
        { name: 'parked', description: 'Notifications parked by the relay and by the functions.' },
        { name: 'queues', description: 'The queues of the stack, and how many messages each holds.' },
        { name: 'relays', description: 'The relays, and when each was last ready.' },
        { name: 'replays', description: 'Jobs that send parked notifications through their functions again.' },
        { name: 'wall', description: 'The call centre now, in one answer.' },
        { name: 'service', description: 'The API itself.' },
      ],
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: TOKENS } },
      },
      security: [{ token: [] }],
    },
  })
  return [description, query(), document] as const
}
