import { usePackaged } from '../support/packaged.ts'
import { testStreet } from '../support/street-flow.ts'

// The bundles as they are deployed, in separate processes, with the variables of the template.
const { folder } = await usePackaged()
await testStreet({ bundles: true, packaged: folder })
