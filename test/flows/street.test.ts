import { testStreet } from '../support/street-flow.ts'

await testStreet()
