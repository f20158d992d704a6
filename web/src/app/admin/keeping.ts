/** Pages on which administrators keep what there is, in one file: see `everybody.ts`. */
export { AuditPage } from './audit-page';
export { CatalogueModelPage } from './catalogue-model-page';
export { CataloguePage } from './catalogue-page';
export { InstancePage } from './instance-page';
export { InstancesPage } from './instances-page';
export { NodesPage } from './nodes-page';
export { UsersPage } from './users-page';
export { HealthPage } from './health-page';
