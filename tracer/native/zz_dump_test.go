package native
import ("testing";"os";"bufio";"fmt";"github.com/strobe-profiler/strobe/libpf/pfelf")
func TestZDump(t *testing.T){
 p:=os.Getenv("ZDUMP"); if p=="" {t.Skip()}
  f,err:=pfelf.Open(p); if err!=nil{t.Fatal(err)}
  r:=NewRules()
  tb,err:=Open(f,r); if err!=nil{t.Fatal(err)}
  w:=bufio.NewWriter(os.Stdout); defer w.Flush()
  first,n:=tb.Pages()
  for i:=range n { rs,err:=tb.Page(first+uint64(i)); if err!=nil{t.Fatal(err)}
   for _,x:=range rs { off:=(first+uint64(i))<<16+uint64(x.PCLow); v,_:=f.OffsetToVaddr(off)
     s:=FormatRule(x.Rule); if x.Rule>=0x8000+16 { s=r.At(int(x.Rule&0x7fff)).String() }
     fmt.Fprintf(w,"R %x %s\n",v,s) } }
}
