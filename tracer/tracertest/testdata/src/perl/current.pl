# Callbacks from C, formats, code at compile time, nested sorts, and two threads.
use strict; use warnings; no warnings 'recursion';
use List::Util qw(first reduce sum); use threads;
my $U = 3000;
sub burn { my $n = shift; my $x = 1; for (my $i = 0; $i < $n; $i++) { $x = ($x * 1103515 + 12345) & 0x7fffffff } return $x }
sub first_leaf { burn($U); return 0 }
sub reduce_leaf { burn($U); return 1 }
sub format_leaf { burn($U); return 'x' }
sub begin_leaf { burn($U*3); return 1 }
sub thread_leaf { burn($U*10); return 1 }
sub nest_leaf { burn($U); return 1 }
sub cmp_leaf { burn($U); return 1 }
my $fv;
format STDOUT =
@<<<<
format_leaf()
.
open my $null, '>', '/dev/null'; 
sub with_first { my $x = first { first_leaf(); 0 } 1, 2; return }
sub with_reduce { my $x = reduce { reduce_leaf(); $a + $b } 1, 2, 3; return }
sub with_format { my $old = select($null); $~ = 'STDOUT'; write; select($old); return }
sub with_begin { my $r = eval "BEGIN { begin_leaf() } 1" or die; return $r }
my $inner = sub { nest_leaf(); return 1 };
package D { sub new { bless [], shift } sub DESTROY { my @x = sort { $inner->(); $a <=> $b } 3, 2 } }
sub with_nest {
  my @r = sort { my $d = D->new; undef $d; my $ok = eval { my $f = first { my $e = D->new; $inner->(); 1 } 1; 1 }; $a <=> $b } 2, 1;
  return;
}
sub by_cmp { cmp_leaf(); return $a <=> $b }
sub with_cmp { my @x = sort by_cmp 2, 1; return }
sub worker { my $end = time + $_[0]; while (time < $end) { thread_leaf() } return }
sub round { with_first(); with_reduce(); with_format(); with_begin(); with_nest(); with_cmp(); return }
$| = 1; print "runs\n"; my $T = $ARGV[0] // 5;
my @t = map { threads->create(\&worker, $T) } 1 .. 2;
my $end = time + $T; while (time < $end) { round() }
$_->join for @t;
