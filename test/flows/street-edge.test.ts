import { testStreet } from '../support/street-flow.ts'

// Functions and API on workerd, behind HTTP: neither SQS nor Lambda.
await testStreet({ edge: true })
