import type { Hono } from 'hono'
import { openAPIRouteHandler } from 'hono-openapi'
import * as v from 'valibot'
import type { ApiEnv } from './auth.ts'
import { describe } from './describe.ts'
import { query } from './query.ts'

const TOKENS =
  'The value of `API_TOKEN`, or a token in `API_TOKENS`. Its role is `read`, `operate`, or `masked`. With `masked`, numbers, contact references and recording URLs show ' +
  'at most their first and last two characters, packets and the callees of a preview are hidden, and search by number or contact is not allowed.'

const DocumentAnswer = v.objectWithRest({ openapi: v.string(), paths: v.record(v.string(), v.unknown()) }, v.unknown())

/**
 * `GET /openapi.json`: the OpenAPI 3.1 document of all addresses of an app, made on the first request from the very schemas that
 * check parameters and type answers.
 */
export function openApi(app: Hono<ApiEnv>) {
  const description = describe({
    summary: 'Get this document',
    description: 'Returns the OpenAPI 3.1 document of this API.',
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
          'Serves the current state of an Enigma dialler: agents, campaigns, calls and CDRs. References are always strings, even if ' +
          'the dialler wrote a number. Every response to a GET has an `ETag`. Every error is a problem (RFC 9457) with its own `type`.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      tags: [
        {
          name: 'agents',
          description: 'Agents, with their state in each campaign, their current call and their counters.',
        },
        {
          name: 'campaigns',
          description: 'Campaigns, with their state, history and counters, and the contacts that will be dialled next.',
        },
        { name: 'cdrs', description: 'Call detail records of the last three days, and calls without one.' },
        { name: 'changes', description: 'Changes as they happen, and confirmations of requests to the dialler.' },
        { name: 'dialers', description: 'Diallers, with their state: started, stopping, stopped.' },
        { name: 'gaps', description: 'Time spans in which Pub/Sub could not be heard.' },
        { name: 'kinds', description: 'The latest values of your own kinds.' },
        {
          name: 'other',
          description: 'Notifications of unknown types, and packets that cannot be read, with their bytes.',
        },
        { name: 'parked', description: 'Notifications parked by the relay and by the functions.' },
        { name: 'queues', description: 'The queues of the stack, with the number of their messages.' },
        { name: 'relays', description: 'The relays, and when each was last ready.' },
        { name: 'replays', description: 'Jobs that send parked notifications through their functions again.' },
        { name: 'wall', description: 'The current state of the whole call centre in one response.' },
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
