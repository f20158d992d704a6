import type { Routes } from '@angular/router';

import { guard } from './session/guard';
import { entry } from './shell/entries';

/** A route of the table of entries: it has the entry's title and its guard. */
function of(path: string, loadComponent: NonNullable<Routes[number]['loadComponent']>) {
  const { label, need } = entry(path);
  return { path, title: label, loadComponent, canMatch: need ? [guard(need)] : [] };
}

// A few files for all pages: one for each would be cut into many that a first visit asks for.
const everybody = () => import('./everybody');
const looking = () => import('./admin/looking');
const keeping = () => import('./admin/keeping');

export const routes: Routes = [
  { ...of('', () => everybody().then((m) => m.HomePage)), pathMatch: 'full' },
  { path: 'models/:id', title: 'Model', loadComponent: () => everybody().then((m) => m.ModelPage) },
  of('requests', () => everybody().then((m) => m.RequestsPage)),
  { path: 'requests/:id', title: 'Request', loadComponent: () => everybody().then((m) => m.RequestPage) },
  { path: 'requests/:id/compare', title: 'Compare', loadComponent: () => everybody().then((m) => m.ComparePage) },
  { path: 'sign-in', title: 'Sign in', loadComponent: () => everybody().then((m) => m.SignInPage) },
  { path: 'sign-up', title: 'Sign up', loadComponent: () => everybody().then((m) => m.SignUpPage) },
  { path: 'account', title: 'Account', loadComponent: () => everybody().then((m) => m.AccountPage) },
  { path: 'account/forgotten', title: 'Forgotten password', loadComponent: () => everybody().then((m) => m.ForgottenPage) },
  { path: 'account/password', title: 'New password', loadComponent: () => everybody().then((m) => m.PasswordPage) },
  { path: 'account/email', title: 'Confirm your address', loadComponent: () => everybody().then((m) => m.EmailPage) },
  of('admin/statistics', () => looking().then((m) => m.StatisticsPage)),
  of('admin/requests', () => looking().then((m) => m.AdminRequestsPage)),
  of('admin/instances', () => keeping().then((m) => m.InstancesPage)),
  of('admin/history', () => looking().then((m) => m.HistoryPage)),
  { ...of('admin/instances', () => keeping().then((m) => m.InstancePage)), path: 'admin/instances/:id', title: 'Instance' },
  of('admin/catalogue', () => keeping().then((m) => m.CataloguePage)),
  { ...of('admin/catalogue', () => keeping().then((m) => m.CatalogueModelPage)), path: 'admin/catalogue/:id', title: 'Model' },
  of('admin/nodes', () => keeping().then((m) => m.NodesPage)),
  of('admin/users', () => keeping().then((m) => m.UsersPage)),
  of('admin/audit', () => keeping().then((m) => m.AuditPage)),
  of('admin/health', () => keeping().then((m) => m.HealthPage)),
  { path: 'admin', children: [{ path: '**', title: 'Not allowed', loadComponent: () => everybody().then((m) => m.ForbiddenPage) }] },
  { path: '**', title: 'Not found', loadComponent: () => everybody().then((m) => m.NotFoundPage) },
];
